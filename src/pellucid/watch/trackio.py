"""trackio, locally: a project's SQLite file, which `trackio show` opens."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pellucid.core.errors import MissingExtraError
from pellucid.watch.follow import StepValues

__all__ = ["TrackioTarget"]


class TrackioTarget:
    """One stage as one run of a project. Written by trackio's own storage, a slice at a time, which is on the disk when it returns:
    trackio's logger hands steps to a thread, and what waits there when it is killed is lost.

    Raises `MissingExtraError` where trackio is not installed.
    """

    def __init__(self, folder: Path, project: str, name: str) -> None:
        if find_spec("trackio") is None:
            raise MissingExtraError("trackio", "trackio", "handing metrics to trackio")
        folder.mkdir(parents=True, exist_ok=True)
        # Read when trackio is imported. Nothing of ours is for the hub.
        os.environ.update(TRACKIO_DIR=str(folder.absolute()), HF_HUB_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="False")
        from trackio.sqlite_storage import SQLiteStorage

        self._storage: Any = SQLiteStorage
        self._project, self._name = project, name
        self._last_step = int(self._storage.get_last_step(project, name) or 0)

    @property
    def last_step(self) -> int:
        """The newest step of the run."""
        return self._last_step

    def write(self, steps: Sequence[StepValues]) -> None:
        """Store the values of each step."""
        self._storage.bulk_log(
            self._project,
            self._name,
            [step.values for step in steps],
            steps=[step.step for step in steps],
            timestamps=[datetime.fromtimestamp(step.at, UTC).isoformat() for step in steps],
        )
        self._last_step = steps[-1].step

    def rewind(self, step: int) -> bool:
        """Return False: what is stored stays."""
        return False

    def close(self) -> None:
        """Do nothing: everything is stored."""
