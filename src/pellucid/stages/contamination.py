"""Items of suites looked up in what a run was trained on: its shards, and its conversations where it learnt from some."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.evals.contamination import lookup, open_training_text, texts_of
from pellucid.evals.results import Record, Records
from pellucid.stages.suites import LookUp

__all__ = ["open_look_up"]


def open_look_up(run: Path, *, needed: bool) -> tuple[LookUp, str] | None:
    """Return what looks items up in a run's training text, and a digest of that; None where there is none and none is needed.

    Raises `ArtifactError` where it is needed and is not there.
    """
    try:
        training = open_training_text(run)
    except ArtifactError:
        if needed:
            raise
        return None

    def look_up(records: Records) -> tuple[Callable[[Record], bool | None], Mapping[str, Any]]:
        found = lookup(texts_of(records), training)
        return found.is_clean, found.as_json()

    return look_up, training.digest
