"""Continued pretraining: what is forgotten and learnt, the stability gap, ways to go on."""
