"""Other packages' loggers, silenced below errors while they work for us: what they remark on is not the reader's affair."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["IMPORTED", "without_remarks"]

IMPORTED = ("torchao", "torch.utils._pytree")
"""Transformers imports torchao where it is installed, which tells of every library that is not for this machine."""


@contextmanager
def without_remarks(*loggers: str) -> Iterator[None]:
    """Let these loggers say errors only, and what they said before afterwards."""
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    for logger in found:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(found, levels, strict=True):
            logger.setLevel(level)
