"""`pellucid tune RECIPE`: the micro-batch that trains fastest on this machine."""

import argparse
from dataclasses import asdict
from pathlib import Path

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.errors import TrainingError, UsageError
from pellucid.core.progress import progress
from pellucid.core.units import format_bytes
from pellucid.plan.memory import rank_memory
from pellucid.recipe.load import load_recipe
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.run_folder import training_stage
from pellucid.train.device import Device, pick_device
from pellucid.train.tune import Trial, Tuning, default_memory_limit, expected_tokens, tune

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and the line that belongs into the recipe."""
    recipe = load_recipe(Path(arguments.recipe), arguments.overrides).recipe
    stage = training_stage(recipe, arguments.stage)
    if stage.learns_from_pairs:
        raise UsageError(
            f"--stage {stage.name}: steps of one sequence each are measured, and it learns from pairs; measure a stage of sft "
            "with the same seq_tokens, and take half its micro_seqs"
        )
    if arguments.memory_gib is not None and not arguments.memory_gib > 0:
        raise UsageError(f"--memory-gib: got {arguments.memory_gib:g}; must be above 0")
    device = pick_device(stage.precision)
    limit = default_memory_limit(device) if arguments.memory_gib is None else int(arguments.memory_gib * 2**30)
    devices = recipe.plan.devices
    tokens = expected_tokens(stage, recipe.model, device, devices, limit)
    with progress(f"tune {stage.name}", tokens, "tokens") as bar:
        tuning = tune(stage, recipe.model, device, devices, limit, bar.advance)
    if tuning.best is None:
        trial = tuning.trials[-1]
        raise TrainingError(
            f"{stage.name}: no micro-batch fits: micro_seqs 1 is forecast to need {format_bytes(trial.forecast_bytes)}, "
            f"the limit is {format_bytes(limit)} ({trial.outcome}). Allow more with --memory-gib, or try "
            f"--set train.{stage.name}.activation_checkpointing=selective, a shorter seq_tokens or a smaller model"
        )
    if arguments.json:
        print_json(_facts(recipe, stage, device, tuning, tuning.best))
    else:
        _print(recipe, stage, device, tuning, tuning.best)
    return 0


def _facts(recipe: Recipe, stage: TrainStageConfig, device: Device, tuning: Tuning, best: Trial) -> dict[str, object]:
    return {
        "recipe": recipe.name,
        "stage": stage.name,
        "device": str(device.device),
        "precision": device.precision,
        "devices": recipe.plan.devices,
        "batch_seqs": stage.batch_seqs,
        "seq_tokens": stage.seq_tokens,
        "activation_checkpointing": stage.activation_checkpointing,
        **asdict(tuning),
        "best": {"micro_seqs": best.micro_seqs, "set": _override(stage, best)},
    }


def _print(recipe: Recipe, stage: TrainStageConfig, device: Device, tuning: Tuning, best: Trial) -> None:
    how = [device.precision, "compiled" if tuning.compiled else "not compiled"]
    if stage.activation_checkpointing != "none":
        how.append(f"activation_checkpointing {stage.activation_checkpointing}")
    rows = [_cells(trial, best) for trial in tuning.trials]
    columns = ("micro_seqs", "accumulation", "tokens/s", "MFU", "MFU 6N", "memory", "forecast", "")
    title = f"{recipe.name}, {stage.name}: {stage.batch_seqs} sequences of {stage.seq_tokens} per step, {', '.join(how)}"
    print_table(columns, rows, title, right=(0, 1, 2, 3, 4, 5, 6))
    devices = recipe.plan.devices
    if devices > 1:
        sized = stage.model_copy(update={"micro_seqs": best.micro_seqs})
        held = rank_memory(recipe.model, sized, devices, bf16=device.precision == "bf16")[stage.parallel.shard]["total"]
        print_text(
            f"\n{devices} devices share a step (plan.devices); measured on one, without communication and with nothing sharded. "
            f"With parallel.shard {stage.parallel.shard} each is forecast to hold {format_bytes(held)}."
        )
    print_text(f"\nfastest, for stage {stage.name} of the recipe (or --set {_override(stage, best)}):")
    print_text(f"    micro_seqs: {best.micro_seqs}")


def _cells(trial: Trial, best: Trial) -> tuple[object, ...]:
    head, forecast = (trial.micro_seqs, trial.accumulation), format_bytes(trial.forecast_bytes)
    if trial.tokens_per_s is None or trial.mfu is None or trial.mfu_6n is None or trial.memory_bytes is None:
        return (*head, "", "", "", "", forecast, trial.outcome)
    speed = (f"{trial.tokens_per_s:.0f}", f"{trial.mfu:.1%}", f"{trial.mfu_6n:.1%}", format_bytes(trial.memory_bytes))
    return (*head, *speed, forecast, "fastest" if trial is best else "")


def _override(stage: TrainStageConfig, best: Trial) -> str:
    return f"train.{stage.name}.micro_seqs={best.micro_seqs}"
