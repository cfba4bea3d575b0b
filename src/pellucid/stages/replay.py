"""A few steps of a finished run trained again from one of its checkpoints, in a folder of their own, and compared bit by bit.

Nothing is written into the run but that it was worked on, in its ledger. Needed are its folder alone (recipe, data, checkpoints)
and a machine that adds up alike.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pellucid.batches.examples import ExampleOrder
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.files import checkpoint_step, save_checkpoint
from pellucid.checkpoint.retention import list_checkpoints
from pellucid.core.artifacts import MANIFEST, read_manifest
from pellucid.core.environment import environment
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.metrics import read_metrics
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import WITH_REFERENCE, CheckpointConfig, SamplesConfig, TrainStageConfig
from pellucid.stages.attempt import attempt
from pellucid.stages.examples import example_order
from pellucid.stages.run_folder import data_order, final_checkpoint, open_recipe
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.train.device import pick_device
from pellucid.train.stage import run_stage
from pellucid.train.state import TrainState

__all__ = ["Replay", "Start", "replay", "starts_of"]

COMPARED = ("loss", "loss_by_source", "grad_norm", "lr", "tokens", "step_tokens", "skipped", "figures", "sequences", "reason")
"""What of a step's line must be the same; the rest of it are times and sizes."""

_NEVER = 1 << 40
_MOST_FAULTS = 10
_MACHINE = ("processor", "system", "python")


@dataclass(frozen=True)
class Start:
    """Where a replay may begin: the `step` of a stage's `checkpoint`, or step 0, whose weights come from what was before."""

    stage: str
    step: int
    checkpoint: Path | None


@dataclass
class Replay:
    """What was trained again: `steps` steps of `stage` after `from_step`, and what of it is not as recorded.

    `values` counts figures that were compared, `checkpoints` are those at whose steps the whole state was compared. `notes` say how
    this machine differs from the one that trained.
    """

    stage: str
    from_step: int
    steps: int
    values: int = 0
    checkpoints: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Done(BaseException):
    """The last step to be replayed is done; nothing between the loop and us is to handle it."""


def replay(run: Path, steps: int, *, seed: int | None = None, stage: str | None = None, step: int | None = None) -> Replay:
    """Train `steps` steps again, from a checkpoint drawn at random by `seed` among those of `stage` and `step` where given.

    Raises `UsageError` when there is no such place to begin, `ArtifactError` for data that are not there.
    """
    if steps < 1:
        raise UsageError(f"--replay {steps}: must be at least 1")
    started, recipe = time.monotonic(), open_recipe(run)
    start = _choose(starts_of(run, recipe), seed, stage, step)
    config, order = _opened(run, recipe, start.stage)
    recorded = {line["step"]: line for line in read_metrics(run / start.stage / "metrics.jsonl") if "event" not in line}
    last = min(start.step + steps, config.total_steps)
    found = Replay(start.stage, start.step, last - start.step)
    if found.steps < steps:
        found.notes.append(f"{start.stage} has {config.total_steps} steps: {found.steps} were left to be trained again")
    setting = _setting_at(run / start.stage, start.step)
    found.notes += _differences(run / start.stage, setting)
    with TemporaryDirectory(prefix="pellucid-replay-") as scratch:
        out = Path(scratch, start.stage)
        _prepare(out, run / start.stage, start)
        watcher = _Watcher(run / start.stage, Path(scratch), start.step, last, found)
        # Work on a run is in its ledger, unless that is a release or may not be written to.
        with attempt(run, "verify"), _threads(setting.get("threads")):
            _train(run, recipe, config, order, start, out, watcher)
        _compare(run / start.stage, out, recorded, range(start.step + 1, last + 1), found)
    found.seconds = round(time.monotonic() - started, 3)
    return found


def starts_of(run: Path, recipe: Recipe) -> list[Start]:
    """Return where a replay of the run can begin: every checkpoint that is there and not the last of its stage, and steps 0.

    Step 0 only where its weights come from the seed or from a stage of this run.
    """
    found = []
    for number, stage in enumerate(recipe.train):
        folder = run / stage.name
        if not (folder / MANIFEST).is_file() or not (folder / "metrics.jsonl").is_file():
            continue
        end = read_manifest(folder).summary["steps"]
        fresh = stage.init_from is None and (stage.adapter is None or stage.adapter.init_from is None)
        if fresh and (not number or _ended(run, recipe.train[number - 1])):
            found.append(Start(stage.name, 0, None))
        for path in list_checkpoints(folder / "checkpoints"):
            step = checkpoint_step(path)
            if step is not None and step < end and (path / MANIFEST).is_file():
                found.append(Start(stage.name, step, path))
    return found


def _ended(run: Path, stage: TrainStageConfig) -> bool:
    try:
        return final_checkpoint(run, stage).is_dir()
    except ArtifactError:
        return False


def _choose(starts: list[Start], seed: int | None, stage: str | None, step: int | None) -> Start:
    wanted = [one for one in starts if (stage is None or one.stage == stage) and (step is None or one.step == step)]
    if not wanted:
        there = ", ".join(f"{one.stage} {one.step}" for one in starts) or "none"
        asked = " ".join(f"--{name} {value}" for name, value in (("stage", stage), ("step", step)) if value is not None)
        raise UsageError(f"--replay {asked}: there is no such place to begin; stages and steps that the run has kept: {there}")
    return random.Random(seed).choice(wanted)


def _opened(run: Path, recipe: Recipe, name: str) -> tuple[TrainStageConfig, DataOrder | ExampleOrder]:
    """Return a stage that saves, samples and measures nothing, and the order of its data."""
    stage = next(one for one in recipe.train if one.name == name)
    order: DataOrder | ExampleOrder
    if stage.learns_from_text:
        order = data_order(recipe, stage, run)
    else:
        order = example_order(recipe, stage, run, load_tokenizer(run / "tokenizer").eos_id)
        stage = stage.lasting(order.total_steps)
    quiet = {"checkpoint": CheckpointConfig(every_steps=_NEVER, keep_last=_NEVER), "samples": SamplesConfig(), "curves": None}
    return stage.model_copy(update=quiet), order


def _prepare(out: Path, stage: Path, start: Start) -> None:
    """Lay out a folder in which the stage goes on: its checkpoint, and what it had found out by then, as links."""
    (out / "checkpoints").mkdir(parents=True)
    if start.checkpoint is not None:
        (out / "checkpoints" / start.checkpoint.name).symlink_to(start.checkpoint.resolve(), target_is_directory=True)
    for name in ("skips.json", *(["reference.npy"] if start.checkpoint is not None else [])):
        if (stage / name).is_file():
            (out / name).symlink_to((stage / name).resolve())


def _train(
    run: Path,
    recipe: Recipe,
    stage: TrainStageConfig,
    order: DataOrder | ExampleOrder,
    start: Start,
    out: Path,
    watcher: "_Watcher",
) -> None:
    number = [one.name for one in recipe.train].index(stage.name)
    before = final_checkpoint(run, recipe.train[number - 1]) if number and start.step == 0 else None
    if stage.objective in WITH_REFERENCE and start.step and not (out / "reference.npy").exists():
        raise ArtifactError(f"{run / stage.name / 'reference.npy'} is missing; {stage.name} cannot be gone on with")
    try:
        run_stage(stage, recipe.model, order, recipe.seed, out, init_from=before, probe=watcher)
    except _Done:
        return


class _Watcher:
    """Looks at the state before every step: compares it with the checkpoints that the run has kept, and ends the replay."""

    def __init__(self, stage: Path, scratch: Path, first: int, last: int, found: Replay) -> None:
        self._scratch, self._first, self._last, self._found = scratch, first, last, found
        self._kept = {checkpoint_step(path): path for path in list_checkpoints(stage / "checkpoints")}

    def __call__(self, state: TrainState) -> None:
        step = state.progress.step
        if step > self._first and step in self._kept:
            self._compare(self._kept[step], state)
        if step == self._last:
            raise _Done

    def _compare(self, kept: Path, state: TrainState) -> None:
        """Write the state as training does, and compare digests: weights, moments, random states, what was added up."""
        step = state.progress.step
        recorded = read_manifest(kept).outputs
        if not any(name.endswith(".safetensors") and "/" not in name for name in recorded):
            self._found.notes.append(f"{kept.name} was written by several processes; its weights were not compared")
            return
        written = save_checkpoint(self._scratch / "compared", step, state.state_dict(), meta={})
        made = read_manifest(written).outputs
        self._found.checkpoints.append(kept.name)
        for name in sorted(recorded.keys() | made.keys()):
            if recorded.get(name, {}).get("sha256") != made.get(name, {}).get("sha256"):
                self._found.faults.append(f"{kept / name}: trained again, the bytes are others")


def _compare(stage: Path, out: Path, recorded: Mapping[int, Mapping[str, Any]], steps: range, found: Replay) -> None:
    """Compare the lines of both, figure by figure: they are numbers as they were computed, none is rounded."""
    again = {line["step"]: line for line in read_metrics(out / "metrics.jsonl") if "event" not in line}
    for step in steps:
        there, here = recorded.get(step), again.get(step)
        if there is None or here is None:
            found.faults.append(
                f"{stage / 'metrics.jsonl'}: step {step}: " + ("no such line" if there is None else "was not reached")
            )
            continue
        for name in COMPARED:
            found.values += name in there or name in here
            if there.get(name) != here.get(name):
                found.faults.append(
                    f"{stage / 'metrics.jsonl'}: step {step}: {name}: recorded {there.get(name)!r:.80}; trained again "
                    f"{here.get(name)!r:.80}"
                )
    hidden = len(found.faults) - _MOST_FAULTS
    if hidden > 0:
        found.faults[_MOST_FAULTS:] = [f"{stage}: {hidden} more figures are others"]


def _setting_at(stage: Path, step: int) -> dict[str, Any]:
    """Return the line that tells what trained the steps after this one: that of the start, or of the last resume before them."""
    setting: dict[str, Any] = {}
    for line in read_metrics(stage / "metrics.jsonl"):
        if "event" not in line and line["step"] > step:
            break
        if line.get("event") in ("start", "resume"):
            setting = line
    return setting


def _differences(stage: Path, setting: Mapping[str, Any]) -> list[str]:
    """Return how this machine differs from the one that trained, as far as both say: any of it may give other bits."""
    manifest = read_manifest(stage)
    theirs, ours = manifest.environment, environment()
    device = str(pick_device("auto").device)
    pairs = {name: (theirs.get(name), ours.get(name)) for name in _MACHINE}
    pairs["torch"] = (setting.get("torch"), torch.__version__)
    pairs["device"] = (str(setting.get("device", device)).partition(":")[0], device.partition(":")[0])
    pairs["processes"] = (setting.get("ranks", 1), 1)
    return [f"{name}: trained with {there}; here {here}" for name, (there, here) in pairs.items() if there != here]


@contextmanager
def _threads(count: object) -> Iterator[None]:
    """Compute with so many threads as training did: sums are cut into as many parts."""
    before = torch.get_num_threads()
    if isinstance(count, int) and 1 <= count <= 4 * (os.cpu_count() or 1):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
