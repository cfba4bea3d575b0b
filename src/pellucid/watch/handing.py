"""A whole run handed to another tool: every stage as it begins, until the last has ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pellucid.core.lock import run_lock
from pellucid.core.progress import progress
from pellucid.watch.follow import StageCopy, Target
from pellucid.watch.run import RunWatch
from pellucid.watch.tensorboard import TensorBoardTarget
from pellucid.watch.trackio import TrackioTarget
from pellucid.watch.weights_and_biases import WandbTarget

__all__ = ["TOOLS", "hand_over", "where"]

_MEMORY = ".pellucid"


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _tensorboard(folder: Path, run: str, stage: str, number: int) -> Target:
    return TensorBoardTarget(folder / run / _numbered(stage, number))


def _wandb(folder: Path, run: str, stage: str, number: int) -> Target:
    return WandbTarget(folder, run, _numbered(stage, number))


def _trackio(folder: Path, run: str, stage: str, number: int) -> Target:
    return TrackioTarget(folder, run, _numbered(stage, number))


TOOLS: Mapping[str, Callable[[Path, str, str, int], Target]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}
"""How a stage is opened in each tool: by folder, run, stage and number."""


def where(run: RunWatch, tool: str) -> Path:
    """Return the folder that is written into by default: beside the runs, so that nothing comes into an artifact."""
    runs = run.path.absolute().parent.parent if run.is_stage else run.path.absolute().parent
    return runs / "watch" / tool


def hand_over(run: RunWatch, tool: str, folder: Path, every_s: float, tell: Callable[[str], None]) -> None:
    """Write a run's stages into a tool's files, from the beginning until the last stage has ended. `tell` gets a line for each.

    Raises `RunLockedError` while another process does the same, `MissingExtraError` where the tool is not installed.
    """
    name = run.path.absolute().parent.name if run.is_stage else run.name
    memory = folder / _MEMORY / name
    copies: dict[str, StageCopy] = {}
    done: set[str] = set()
    with run_lock(memory, instead="give another folder with --dir"), progress(f"{name} → {tool}", unit="steps") as bar:
        try:
            while True:
                run.look_for_stages()
                for stage, watched in run.stages.items():
                    if stage not in copies and (watched.folder / "metrics.jsonl").is_file():
                        copies[stage] = StageCopy(
                            watched.folder, memory / f"{stage}.json", partial(TOOLS[tool], folder, name, stage)
                        )
                if _copy_once([copy for stage, copy in copies.items() if stage not in done], bar.advance):
                    continue
                for stage, copy in copies.items():
                    if stage not in done and copy.is_done:
                        done.add(stage)
                        copy.close()
                        tell(f"{name}/{stage}: ended; {copy.written} steps written to {folder}")
                if run.stages and done == run.stages.keys():
                    return
                time.sleep(every_s)
        finally:
            for copy in copies.values():
                copy.close()


def _copy_once(copies: Sequence[StageCopy], advance: Callable[[float], None]) -> bool:
    """Let every copy write a slice; return whether any had something."""
    counts = [copy.poll() for copy in copies]
    if sum(counts):
        advance(sum(counts))
    return any(counts)
