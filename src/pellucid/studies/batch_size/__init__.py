"""Batch sizes: steps and tokens to equal loss, the critical batch size, the gradient noise scale beside it."""
