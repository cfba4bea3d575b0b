"""Recipe → plan: one JSON-able forecast with stable keys."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pellucid.plan.cost import rates_of
from pellucid.plan.devices import HERE, Device, device_named
from pellucid.plan.fitting import fit_of, micro_batch_rows
from pellucid.plan.flops import FORMULAS, flops_per_token
from pellucid.plan.memory import rank_memory
from pellucid.plan.mixing import mix_stages
from pellucid.plan.notes import device_notes, fit_notes, length_notes, mixture_notes, recompute_notes, source_notes, unlisted_notes
from pellucid.plan.parameters import count_parameters
from pellucid.plan.printed import printed_notes
from pellucid.plan.roofline import Layout
from pellucid.plan.spending import spending, stage_spending
from pellucid.plan.steps import step_row
from pellucid.plan.tokens import category_rows, source_rows, stage_rows
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["make_plan"]


def make_plan(recipe: Recipe, available_tokens: Mapping[str, int] | None = None, here: Device | None = None) -> dict[str, Any]:
    """Return the forecast of a run: parameters, FLOPs, tokens and epochs, memory, time, money, energy, carbon, and notes.

    Stable keys: `parameters.total`, `tokens.total` (of text; `tokens.examples` of conversations and pairs), `sources[].{name,
    weight, tokens, epochs, category}`; docs/plan.md lists the others. `here` is the machine that `plan.device: here` means; without
    it, that is the table's `cpu-2-core`. Raises `RecipeError` for a device that the table lacks, and for a mixture that cannot be
    worked out or filled.
    """
    device = _device(recipe, here)
    rates = rates_of(recipe.plan, device)
    parameters = count_parameters(recipe.model)
    stages = stage_rows(recipe)
    mixes = mix_stages(recipe, available_tokens)
    sources = source_rows(recipe, available_tokens, mixes)
    tokens = sum(row["tokens"] for stage, row in zip(recipe.train, stages, strict=True) if stage.learns_from_text)
    examples = sum(row["tokens"] for row in stages) - tokens
    flops = dict.fromkeys(FORMULAS, 0.0)
    for stage, row in zip(recipe.train, stages, strict=True):
        row |= _stage(recipe, stage, device)
        row |= stage_spending(row, rates, recipe.plan.devices)
        for name in flops:
            flops[name] += row["flops_per_token"][name] * row["tokens"]
    notes = [*printed_notes(recipe, parameters.total, tokens, stages), *source_notes(recipe, sources), *mixture_notes(mixes)]
    notes += unlisted_notes(device)
    for stage, row in zip(recipe.train, stages, strict=True):
        notes += length_notes(stage, row)
        notes += recompute_notes(recipe.model, stage)
        notes += fit_notes(row)
        notes += device_notes(stage, recipe.plan.devices)
    return {
        "recipe": recipe.name,
        "parameters": {"total": parameters.total, **asdict(parameters)},
        "tokens": {"total": tokens, "examples": examples, "trained": sum(row["trained_tokens"] for row in stages)},
        "one_step_only": [row["name"] for row in stages if row["length_basis"] == "one_step"],
        "stages": stages,
        "sources": sources,
        "categories": category_rows(sources),
        "flops": {"training": flops, "formulas": dict(FORMULAS)},
        "device": {"name": recipe.plan.device, "count": recipe.plan.devices, **device.model_dump(mode="json")},
        **spending(stages, flops, rates, recipe.plan.devices),
        "notes": notes,
    }


def _device(recipe: Recipe, here: Device | None) -> Device:
    if recipe.plan.device == HERE:
        return here or device_named("cpu-2-core")
    return device_named(recipe.plan.device, recipe.name)


def _stage(recipe: Recipe, stage: TrainStageConfig, device: Device) -> dict[str, Any]:
    """Return what a stage needs and takes on these devices."""
    devices = recipe.plan.devices
    layout = Layout(devices, bf16=stage.precision == "bf16" or (stage.precision == "auto" and device.precision == "bf16"))
    step = step_row(recipe.model, stage, device, layout, recipe.plan.achieved_flops_frac)
    return {
        "flops_per_token": flops_per_token(recipe.model, stage.seq_tokens, stage.adapter),
        "memory": rank_memory(recipe.model, stage, devices, bf16=layout.bf16),
        "micro_seqs": stage.micro_seqs,
        "shard": stage.parallel.shard if devices > 1 else "none",
        "micro_batches": micro_batch_rows(recipe.model, stage, device, layout),
        "fit": fit_of(recipe.model, stage, device, layout),
        "step": step,
        "step_s": step["s"]["likely"],
        "tokens_per_s": step["tokens_per_s"]["likely"],
        "accumulation_steps": stage.batch_seqs / (stage.micro_seqs * devices / stage.parallel.tensor_ways),
    }
