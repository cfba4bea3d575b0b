"""Pellucid: from raw text to a trained, evaluated and exported small language model, with an account of the whole."""

__all__ = ["__version__"]

__version__ = "0.1.0"
