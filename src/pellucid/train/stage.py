"""One training stage as a folder: checkpoints, metrics, samples and the receipt; continued from wherever it was cut off."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pellucid.batches.order import DataOrder
from pellucid.batches.receipt import build_receipt
from pellucid.checkpoint.files import load_checkpoint, save_checkpoint
from pellucid.checkpoint.models import check_architecture, load_weights
from pellucid.checkpoint.retention import apply_retention, latest_good
from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.core.progress import progress as show_progress
from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Decoder, init_weights
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.allocation import keep_freed_memory
from pellucid.train.compilation import compile_model
from pellucid.train.device import deterministic, pick_device
from pellucid.train.feed import Objective
from pellucid.train.loop import Hooks, Task, train
from pellucid.train.objectives.next_token import next_token
from pellucid.train.recorder import Recorder, Sampler
from pellucid.train.signals import stop_on_signals
from pellucid.train.state import TrainState

__all__ = ["run_stage"]

# A stage may be continued after these were changed: they decide what is kept and shown, not what is computed. `init_from` is the
# name of a place; the weights in it are known to the caller by their digest.
_FREE_TO_CHANGE = {"checkpoint", "samples", "max_bad_steps", "init_from"}


def run_stage(
    stage: TrainStageConfig,
    model_config: ModelConfig,
    order: DataOrder,
    seed: int,
    out: Path,
    *,
    sample: Sampler | None = None,
    init_from: Path | None = None,
) -> dict[str, Any]:
    """Train one stage into `out`, from its newest good checkpoint if there is one, and return a summary (JSON values).

    Fresh weights come from `init_from`, whatever `load_weights` reads, or from `seed`. Writes `checkpoints/step-N/`,
    `metrics.jsonl`, `samples.jsonl` (when `sample` is given and the stage asks for samples) and, at the end, `receipt.json`.
    Raises `StoppedError` after a signal, `TrainingError` when the run diverged, `DiskFullError`, and `ArtifactError` for
    checkpoints that belong to another recipe. Called again after a stop, a full disk or a kill, it ends with the same bits as an
    undisturbed run on the same machine with the same number of threads.
    """
    device = pick_device(stage.precision)
    saver = _Saver(out / "checkpoints", stage, model_config, {"seed": seed, "data": _data(order)})
    keep_freed_memory()
    with deterministic(), stop_on_signals() as stop:
        model = Decoder(model_config)
        init_weights(model, derive_seed(seed, "weights"))
        model.to(device.device)
        # Nothing in a step draws from this; it is set so that what checkpoints hold does not depend on the process's past.
        torch.manual_seed(derive_seed(seed, "torch"))
        state = TrainState(model, build_optimizer(model, stage.optimizer))
        resumed = saver.restore(state)
        if not resumed and init_from is not None:
            load_weights(model, init_from)
        task = Task(stage, order, _objective(stage), compile_model(model, stage.compile), device)
        recorder = Recorder(out, task, state, resumed_from=saver.last_saved() if resumed else None, sample=sample)
        try:
            with show_progress(stage.name, stage.total_steps * stage.batch_tokens, "tokens") as bar:
                recorder.show_on(bar, state.progress.tokens)
                train(state, task, Hooks(recorder.watch, saver.save, saver.last_saved, stop, recorder.log))
        finally:
            recorder.close()
    return _finish(state, order, stage, out, saver.last_saved())


def _objective(stage: TrainStageConfig) -> Objective:
    return {"next_token": partial(next_token, z_loss=stage.z_loss)}[stage.objective]


def _data(order: DataOrder) -> dict[str, Any]:
    """What the order of data is a function of, as far as a resumed run must agree on it."""
    return {
        "seed": order.seed,
        "attention": order.attention,
        "shares": dict(zip(order.source_names, order.shares, strict=True)),
        "tokens": {name: stream.tokens for name, stream in zip(order.source_names, order.streams, strict=True)},
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names, so that a difference can be told field by field."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


class _Saver:
    """Keeps the checkpoints of one stage."""

    def __init__(self, root: Path, stage: TrainStageConfig, model: ModelConfig, origin: dict[str, Any]) -> None:
        self._root, self._stage, self._model, self._origin = root, stage, model, origin
        self._path: Path | None = None
        self._step: int | None = None

    def last_saved(self) -> str:
        """Return the newest checkpoint's folder."""
        return str(self._path) if self._path else "none: no checkpoint was written yet"

    def save(self, state: TrainState) -> None:
        """Write a checkpoint of this step unless it is there already, then drop what the retention rule does not keep."""
        step = state.progress.step
        if step == self._step:
            return
        stage, model = self._stage.model_dump(mode="json"), self._model.model_dump(mode="json")
        meta = {"step": step, **self._origin, "stage": stage, "model": model}
        self._path, self._step = save_checkpoint(self._root, step, state.state_dict(), meta=meta), step
        apply_retention(self._root, self._stage.checkpoint)

    def restore(self, state: TrainState) -> bool:
        """Put the newest good checkpoint into `state`; tell whether there was one."""
        path = latest_good(self._root)
        if path is None:
            return False
        loaded, meta = load_checkpoint(path, verify=False)  # latest_good has just read every byte
        check_architecture(path, meta, self._model)
        wanted = _flat({**self._origin, **self._stage.model_dump(mode="json")})
        found = _flat({**{name: meta.get(name) for name in self._origin}, **meta["stage"]})
        differing = [
            f"  {name}: the checkpoint has {found.get(name)}, now it is {wanted.get(name)}"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name) and name.split(".")[0] not in _FREE_TO_CHANGE
        ]
        if differing:
            raise ArtifactError(
                f"{path} was trained differently, so it cannot be continued\n" + "\n".join(differing) + "\n"
                "Restore these values, or train into another folder."
            )
        state.load_state_dict(loaded)
        self._path, self._step = path, state.progress.step
        return True


def _finish(state: TrainState, order: DataOrder, stage: TrainStageConfig, out: Path, checkpoint: str) -> dict[str, Any]:
    """Write the receipt: what was planned and what was consumed, what was learnt from it, what was skipped. Return a summary."""
    progress = state.progress
    loss_by_source = {name: progress.nats[name] / targets for name, targets in sorted(progress.targets.items()) if targets}
    targets = sum(progress.targets.values())
    mean_loss = sum(progress.nats.values()) / targets if targets else None
    receipt = build_receipt(order, steps=progress.step, total_steps=stage.total_steps, batch_seqs=stage.batch_seqs)
    write_json(
        out / "receipt.json",
        {
            **receipt,
            "target_tokens_by_source": progress.targets,
            "mean_loss": mean_loss,
            "mean_loss_by_source": loss_by_source,
            "skipped_steps": progress.skipped,
        },
    )
    return {
        "steps": progress.step,
        "tokens": progress.tokens,
        "mean_loss": mean_loss,
        "skipped_steps": len(progress.skipped),
        "checkpoint": str(Path(checkpoint).relative_to(out)),
    }
