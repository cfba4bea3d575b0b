"""Independent seeds from one recipe seed: a label per use, so that adding a use never shifts another's randomness."""

import hashlib

__all__ = ["derive_seed", "heldout"]


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return a 63-bit seed that is a pure function of `seed` and the labels (BLAKE2b over their text)."""
    text = "\x1f".join([str(seed), *(f"{type(label).__name__}:{label}" for label in labels)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def heldout(sha256_hex: str, frac: float) -> bool:
    """Tell whether a document with this digest is held out: its first 32 bits, as a fraction, fall under `frac`.

    A pure function of the text, so every stage, run and machine agrees, and adding documents moves no other document.
    """
    return int(sha256_hex[:8], 16) < frac * 2**32
