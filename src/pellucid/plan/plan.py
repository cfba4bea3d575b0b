"""Recipe → plan: one JSON-able forecast with stable keys."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pellucid.plan.cost import Rates, carbon_kg, device_hours, energy_kwh, rates_of
from pellucid.plan.devices import Device, device_named
from pellucid.plan.flops import FORMULAS, flops_per_token
from pellucid.plan.memory import rank_memory
from pellucid.plan.mixing import mix_stages
from pellucid.plan.notes import length_notes, memory_notes, mixture_notes, printed_notes, recompute_notes, source_notes
from pellucid.plan.parameters import count_parameters
from pellucid.plan.tokens import category_rows, source_rows, stage_rows
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["make_plan"]


def make_plan(recipe: Recipe, available_tokens: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return the forecast of a run: parameters, FLOPs, tokens and epochs, memory, time, money, energy, carbon, and notes.

    Stable keys: `parameters.total`, `tokens.total` (of text; `tokens.examples` of conversations and pairs), `sources[].{name,
    weight, tokens, epochs, category}`. Times, money and energy are given by the `with_attention` formula unless a key says `six_n`.
    Raises `RecipeError` for a device that the table lacks, and for a mixture that cannot be worked out or filled.
    """
    device = device_named(recipe.plan.device, recipe.name)
    rates = rates_of(recipe.plan, device)
    parameters = count_parameters(recipe.model)
    stages = stage_rows(recipe)
    mixes = mix_stages(recipe, available_tokens)
    sources = source_rows(recipe, available_tokens, mixes)
    tokens = sum(row["tokens"] for stage, row in zip(recipe.train, stages, strict=True) if stage.learns_from_text)
    examples = sum(row["tokens"] for row in stages) - tokens
    flops = dict.fromkeys(FORMULAS, 0.0)
    for stage, row in zip(recipe.train, stages, strict=True):
        per_token = flops_per_token(recipe.model, stage.seq_tokens, stage.adapter)
        row["flops_per_token"] = per_token
        row["memory"] = rank_memory(recipe.model, stage, recipe.plan.devices, bf16=_bf16(stage, device))
        computed = stage.rows_per_example * stage.batch_tokens
        row["step_s"] = computed * per_token["with_attention"] / rates.achieved_flops / recipe.plan.devices
        row["tokens_per_s"] = computed / row["step_s"]
        shares = recipe.plan.devices / stage.parallel.tensor_ways
        row["accumulation_steps"] = stage.batch_seqs / (stage.micro_seqs * shares)
        for name in flops:
            flops[name] += per_token[name] * stage.length_tokens
    hours = {name: device_hours(count, rates.achieved_flops) for name, count in flops.items()}
    notes = [*printed_notes(recipe, parameters.total, tokens, hours), *source_notes(recipe, sources), *mixture_notes(mixes)]
    for stage, row in zip(recipe.train, stages, strict=True):
        notes += length_notes(stage, row)
        notes += recompute_notes(recipe.model, stage)
        notes += memory_notes(row["memory"], device.memory_bytes, row["name"])
        if row["accumulation_steps"] != int(row["accumulation_steps"]):
            notes.append(f"{row['name']}: a batch is {row['accumulation_steps']:.3g} micro-batches per device, not a whole number.")
    return {
        "recipe": recipe.name,
        "parameters": {"total": parameters.total, **asdict(parameters)},
        "tokens": {"total": tokens, "examples": examples, "trained": sum(row["trained_tokens"] for row in stages)},
        "stages": stages,
        "sources": sources,
        "categories": category_rows(sources),
        "flops": {"training": flops, "formulas": dict(FORMULAS)},
        "device": {"name": recipe.plan.device, "count": recipe.plan.devices, **device.model_dump(mode="json")},
        **_spending(hours, rates, recipe.plan.devices),
        "notes": notes,
    }


def _bf16(stage: TrainStageConfig, device: Device) -> bool:
    return stage.precision == "bf16" or (stage.precision == "auto" and device.precision == "bf16")


def _spending(hours: dict[str, float], rates: Rates, devices: int) -> dict[str, Any]:
    """Return time, cost and energy for device-hours by formula; 6N is the low end, full attention the high end."""
    high, low = hours["with_attention"], hours["six_n"]
    kwh, kwh_low = (energy_kwh(value, rates.power_w, rates.pue) for value in (high, low))
    return {
        "time": {
            "achieved_flops_per_device_s": rates.achieved_flops,
            "device_hours": high,
            "device_hours_six_n": low,
            "wall_s": high * 3600 / devices,
            "wall_s_six_n": low * 3600 / devices,
        },
        "cost": {
            "usd": high * rates.price_per_hour,
            "usd_six_n": low * rates.price_per_hour,
            "usd_per_device_hour": rates.price_per_hour,
        },
        "energy": {
            "kwh": kwh,
            "kwh_six_n": kwh_low,
            "kg_co2e": carbon_kg(kwh, rates.grid_kg_co2e_per_kwh),
            "kg_co2e_six_n": carbon_kg(kwh_low, rates.grid_kg_co2e_per_kwh),
            "power_w": rates.power_w,
            "pue": rates.pue,
            "grid_kg_co2e_per_kwh": rates.grid_kg_co2e_per_kwh,
            "basis": "estimated: the devices' rated power, an upper bound; host and network only through the PUE",
        },
    }
