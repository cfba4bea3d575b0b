"""A training stage's checkpoints → `noise/noise.json`: the gradient noise scale at each of them."""

from pathlib import Path
from typing import Any

import numpy as np

from pellucid.batches.order import DataOrder
from pellucid.checkpoint.files import checkpoint_step
from pellucid.checkpoint.models import load_model
from pellucid.checkpoint.retention import list_checkpoints
from pellucid.core.artifacts import Build, Key, building, fingerprint, is_current
from pellucid.core.errors import UsageError
from pellucid.core.files import read_json, write_json
from pellucid.core.seeds import derive_seed
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.attempt import attempt
from pellucid.stages.run_folder import data_order, open_recipe
from pellucid.train.device import deterministic, pick_device
from pellucid.train.noise import gradient_noise_scale
from pellucid.train.objectives.choose import objective_of

__all__ = ["measure_noise"]

FOLDER = "noise"

_SPREAD = 8
"""The sequences are drawn from so many times as many. An order gives every source its exact share, also of a few sequences in a
row: those are not independent, and where sources differ in their gradients, |G|² would come out too low."""

_MICRO_BATCHES = 64
"""At least so many, where there are as many sequences: enough to tell how sure the estimate is, and few enough to be quick."""


def measure_noise(run: Path, stage: TrainStageConfig, seqs: int) -> list[dict[str, Any]]:
    """Return the gradient noise scale at each checkpoint that a run's stage has kept, oldest first, finished or stopped.

    Each has `step` and `tokens` (trained on by then), `noise_scale_tokens` with `low` and `high`, `gradient_norm_squared` and
    `trace` (see `NoiseScale`), `micro_batches` and `micro_tokens`. All are measured on the same `seqs` sequences.

    The sequences are those that the stage would have read behind its planned last step. On what a model has learnt from, its
    mean gradient is smaller than on other text of the same kind, and the noise scale would come out too large. Text that is shorter
    than the run comes again all the same; how many of the sequences may have been read before is `repeated_seqs` in the file.

    Kept as an artifact of the run: when its checkpoints are still those, they are not measured again. Raises `UsageError` for a
    stage that does not train all weights on text, and `ArtifactError` for a checkpoint that is damaged.
    """
    if not stage.learns_from_text or stage.adapter is not None:
        raise UsageError(f"stage {stage.name!r}: the gradient noise scale is measured of stages that train all weights on text")
    recipe = open_recipe(run)
    checkpoints = list_checkpoints(run / stage.name / "checkpoints")
    if not checkpoints:
        return []
    path, key = run / FOLDER, _key(run, recipe, stage, seqs, checkpoints)
    if not is_current(path, key):
        with attempt(run, "noise", inputs=dict(key.inputs)) as work:
            with building(path, key, energy=work.energy) as build:
                _build(run, recipe, stage, seqs, checkpoints, build)
            work.made(path, build.summary)
    found: list[dict[str, Any]] = read_json(path / "noise.json")["checkpoints"]
    return found


def _key(run: Path, recipe: Recipe, stage: TrainStageConfig, seqs: int, checkpoints: list[Path]) -> Key:
    order = data_order(recipe, stage, run).identity()
    config = {"stage": stage.name, "seqs": seqs, "first_sequence": _first(stage), "micro_seqs": _micro_seqs(stage, seqs)}
    config |= {"objective": stage.objective, "z_loss": stage.z_loss, "precision": stage.precision, "order": order}
    inputs = {"shards": fingerprint(run / "shards"), **{path.name: fingerprint(path) for path in checkpoints}}
    return Key("noise", 1, recipe.seed, config, inputs)


def _build(run: Path, recipe: Recipe, stage: TrainStageConfig, seqs: int, checkpoints: list[Path], build: Build) -> None:
    order, device, objective = data_order(recipe, stage, run), pick_device(stage.precision), objective_of(stage)
    index_B = _first(stage) + np.sort(
        np.random.default_rng(derive_seed(recipe.seed, "noise")).choice(_SPREAD * seqs, size=seqs, replace=False)
    )
    batch, micro_seqs = order.sequences_at(index_B), _micro_seqs(stage, seqs)
    lines = []
    with deterministic():
        for path in checkpoints:
            model, _ = load_model(path)
            scale = gradient_noise_scale(model.to(device.device), objective, batch, micro_seqs, device)
            step = checkpoint_step(path) or 0
            lines.append({"step": step, "tokens": step * stage.batch_tokens, **scale.to_json()})
    about = {"stage": stage.name, "sequences": seqs, "first_sequence": _first(stage), "repeated_seqs": _repeated(order, index_B)}
    write_json(build.path / "noise.json", {**about, "checkpoints": lines})
    build.summary.update(checkpoints=len(lines), noise_scale_tokens=lines[-1]["noise_scale_tokens"])


def _first(stage: TrainStageConfig) -> int:
    """Return the first sequence behind the planned last step: a run that was stopped has not read it either."""
    return stage.total_steps * stage.batch_seqs


def _micro_seqs(stage: TrainStageConfig, seqs: int) -> int:
    most = max(1, min(stage.micro_seqs, seqs // _MICRO_BATCHES))
    return next(size for size in range(most, 0, -1) if seqs % size == 0)


def _repeated(order: DataOrder, index_B: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return how many sequences hold text that was passed once already, so that the run may have read it."""
    place_BP = index_B[:, None] * order.parts + np.arange(order.parts)
    _, epoch_N, _, _ = order.locate(place_BP.reshape(-1))
    return int((epoch_N.reshape(place_BP.shape) > 0).any(axis=1).sum())
