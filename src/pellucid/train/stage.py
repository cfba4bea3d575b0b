"""One training stage as a folder: checkpoints, metrics, samples and the receipt; continued from wherever it was cut off."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from pellucid.batches.examples import ExampleOrder
from pellucid.batches.order import DataOrder
from pellucid.batches.receipt import build_receipt
from pellucid.core.errors import PellucidWarning, TrainingError
from pellucid.core.files import write_json
from pellucid.core.progress import ProgressBar
from pellucid.core.progress import progress as show_progress
from pellucid.core.seeds import derive_seed
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import WITH_REFERENCE, TrainStageConfig
from pellucid.train.allocation import keep_freed_memory
from pellucid.train.build import Start, build_model
from pellucid.train.device import Device, deterministic, pick_device
from pellucid.train.gradients import ExactGradients, Gradients, LocalGradients
from pellucid.train.heldout import HeldoutLog
from pellucid.train.loop import Hooks, Task, train
from pellucid.train.objectives.choose import objective_of
from pellucid.train.ranks import watch_ranks
from pellucid.train.recorder import Recorder, Sampler
from pellucid.train.reference import attach_reference, compute_reference
from pellucid.train.saver import Saver
from pellucid.train.sharding import ShardedGradients, shard_model
from pellucid.train.signals import stop_on_signals
from pellucid.train.spikes import LossSpike, SkipList
from pellucid.train.state import TrainState
from pellucid.train.world import World

__all__ = ["Probe", "run_stage", "world_for"]

Probe = Callable[[TrainState], None]
"""Looks at the model before every step and after the last, to measure what a stage is for; it changes nothing."""


def run_stage(
    stage: TrainStageConfig,
    model_config: ModelConfig,
    order: DataOrder | ExampleOrder,
    seed: int,
    out: Path,
    *,
    sample: Sampler | None = None,
    init_from: Path | None = None,
    adapter_from: Path | None = None,
    world: World | None = None,
    earlier: Callable[[], Sequence[tuple[DataOrder, int]]] = tuple,
    heldout: Mapping[str, ExampleOrder] = MappingProxyType({}),
    probe: Probe | None = None,
) -> dict[str, Any]:
    """Train one stage into `out`, from its newest good checkpoint if there is one, and return a summary (JSON values).

    Fresh weights come from `init_from`, whatever `load_weights` reads, or from `seed`; the stage's adapters, if it has any, from
    `adapter_from`, a folder in peft's format, or from `seed`. Writes `checkpoints/step-N/`,
    `metrics.jsonl`, `samples.jsonl` (when `sample` is given and the stage asks for samples) and, at the end, `receipt.json`.
    `earlier` returns the orders of the stages before and how many sequences they read, for the receipt. `heldout` are examples by
    source that are scored into `heldout.jsonl`. A stage that compares with its first weights keeps their log-probabilities in
    `reference.npy` (and `reference.heldout.NAME.npy`).
    Every rank of `world` calls this with the same arguments; what is written once, the first one writes.
    Raises `StoppedError` after a signal, `TrainingError` when the run diverged, `DiskFullError`, and `ArtifactError` for
    checkpoints that belong to another recipe. Called again after a stop, a full disk or a kill, it ends with the same bits as an
    undisturbed run on the same machine with the same numbers of processes and threads.
    """
    world = world_for(stage, world or World())
    device = pick_device(stage.precision)
    saver = Saver(out / "checkpoints", stage, model_config, {"seed": seed, "data": order.identity()}, world)
    keep_freed_memory()
    held = device.begin_counting_memory(), device.mapped_bytes()
    with deterministic(), stop_on_signals() as stop, saver:
        checkpoint = saver.newest()
        start = Start(init_from, adapter_from) if checkpoint is None else Start()
        model, compiled = build_model(stage, model_config, device, seed, start)
        if world.size > 1 and not stage.exact:
            shard_model(model, stage.parallel, world, device.device)
        else:
            model.to(device.device)
        # Nothing in a step draws from this; it is set so that what checkpoints hold does not depend on the process's past.
        torch.manual_seed(derive_seed(seed, "torch"))
        state = TrainState(model, build_optimizer(model, stage.optimizer))
        if checkpoint is not None:
            saver.restore(checkpoint, state)
        if stage.objective in WITH_REFERENCE:
            _refer(state, order, heldout, out, (stage.micro_seqs, device, world), compute=checkpoint is None)
        objective = objective_of(stage)
        task = Task(stage, order, objective, device, _gradients(state, stage, world), world, compiled)
        skips = SkipList(out)
        with _bar(stage, order, world) as bar, watch_ranks(world, model, device) as ranks:
            while True:
                task = replace(task, skips=skips.steps, ranks=ranks)
                recorder = Recorder(out, task, state, resumed_from=checkpoint, sample=sample, held=held)
                scores = HeldoutLog(out, heldout, objective, stage, device, world)
                try:
                    if bar is not None:
                        recorder.show_on(bar, state.progress.tokens)
                    watch = (recorder.watch, scores.watch, *([probe] if probe is not None else []))
                    train(state, task, _hooks((recorder, scores), saver, stop, watch))
                    break
                except LossSpike as spike:
                    checkpoint = _roll_back(spike, skips, stage, saver, state, world)
                finally:
                    recorder.close()
                    scores.close()
        saved = saver.last_saved()
    return _finish(state, (order, earlier), stage, out, saved, world)


def _hooks(logs: tuple[Recorder, HeldoutLog], saver: Saver, stop: Callable[[], int | None], watchers: Sequence[Probe]) -> Hooks:
    recorder, scores = logs

    def watch(state: TrainState) -> None:
        for watcher in watchers:
            watcher(state)

    def save(state: TrainState) -> None:
        # A resumed run keeps the lines up to its checkpoint, so they must be no less durable.
        recorder.sync()
        scores.sync()
        saver.save(state)

    return Hooks(watch, save, saver.last_saved, saver.snapshot, stop, recorder.log, recorder.event)


def world_for(stage: TrainStageConfig, world: World) -> World:
    """Return the world as the stage cuts it up; raise `UsageError` when its batch cannot be dealt out to so many processes."""
    world = replace(world, tensor_ways=stage.parallel.tensor_ways)
    world.check_batch(stage.batch_seqs, stage.micro_seqs if stage.exact else None)
    return world


def _roll_back(spike: LossSpike, skips: SkipList, stage: TrainStageConfig, saver: Saver, state: TrainState, world: World) -> Path:
    """Put the newest checkpoint before a spike into `state`, and its steps on the list; return the checkpoint."""
    if len(skips.spikes) >= stage.spikes.max_rollbacks:
        raise TrainingError(
            f"{spike}. It is number {len(skips.spikes) + 1}, and spikes.max_rollbacks is {stage.spikes.max_rollbacks}. "
            f"The last good checkpoint is {saver.last_saved()}. Lower peak_lr or clip_norm, or raise spikes.deviations."
        ) from None
    checkpoint = saver.before(spike.first - 2)
    if checkpoint is None:
        raise TrainingError(
            f"{spike}. There is no checkpoint from before it to go back to: lower checkpoint.every_steps (now "
            f"{stage.checkpoint.every_steps}) or raise checkpoint.keep_last, and train into another folder."
        ) from None
    saver.restore(checkpoint, state)
    skips.add(spike, back_to=state.progress.step)
    if world.is_first:
        # After the newer checkpoints are gone: a kill in between only means that the same spike is met again.
        skips.write()
        warnings.warn(f"{spike}; back to {checkpoint}, and past these steps", PellucidWarning, stacklevel=2)
    return checkpoint


def _bar(stage: TrainStageConfig, order: DataOrder | ExampleOrder, world: World) -> AbstractContextManager[ProgressBar | None]:
    tokens = round(order.pace.epochs * order.tokens) if isinstance(order, ExampleOrder) else stage.total_steps * stage.batch_tokens
    return show_progress(stage.name, tokens, "tokens") if world.is_first else nullcontext()


def _gradients(state: TrainState, stage: TrainStageConfig, world: World) -> Gradients:
    if stage.exact:
        return ExactGradients(state.optimizer.parameters, stage.batch_seqs // stage.micro_seqs, world)
    return ShardedGradients(state.model, stage.parallel.shard) if world.size > 1 else LocalGradients()


def _refer(
    state: TrainState,
    order: DataOrder | ExampleOrder,
    heldout: Mapping[str, ExampleOrder],
    out: Path,
    how: tuple[int, Device, World],
    *,
    compute: bool,
) -> None:
    """Compute what the model thinks of the pairs before it learns from them; a continued stage has it stored."""
    assert isinstance(order, ExampleOrder)
    for each, file in [(order, "reference.npy"), *((one, f"reference.heldout.{name}.npy") for name, one in heldout.items())]:
        if compute:
            compute_reference(state.model, each, out / file, *how)
        else:
            attach_reference(each, out / file)


def _finish(
    state: TrainState,
    orders: tuple[DataOrder | ExampleOrder, Callable[[], Sequence[tuple[DataOrder, int]]]],
    stage: TrainStageConfig,
    out: Path,
    checkpoint: str,
    world: World,
) -> dict[str, Any]:
    """Write the receipt: what was planned and what was consumed, what was learnt from it, what was skipped. Return a summary."""
    progress = state.progress
    loss_by_source = {name: progress.nats[name] / targets for name, targets in sorted(progress.targets.items()) if targets}
    targets = sum(progress.targets.values())
    mean_loss = sum(progress.nats.values()) / targets if targets else None
    if world.is_first:
        order, earlier = orders
        if isinstance(order, ExampleOrder):
            receipt = order.receipt(progress.step)
        else:
            receipt = build_receipt(
                order, steps=progress.step, total_steps=stage.total_steps, batch_seqs=stage.batch_seqs, earlier=earlier()
            )
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
