"""The flags of an engine as `open_served` takes them."""

import argparse
from pathlib import Path

from pellucid.stages.served import EngineShape

__all__ = ["engine_shape"]


def engine_shape(arguments: argparse.Namespace, slots: int) -> EngineShape:
    """Return what the flags of `engine_arguments` say. Raises `UsageError` for what is out of range."""
    draft = None if arguments.draft is None else Path(arguments.draft)
    return EngineShape(arguments.context, slots, arguments.threads, arguments.weights, draft)
