"""A plan beside what reports print of the same model: where they agree, where they do not, and why."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pellucid.core.units import format_bytes
from pellucid.plan.cost import device_hours
from pellucid.plan.notes import spaced
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["printed_notes"]

PRINTED = Path(__file__).parent / "printed.yaml"


@cache
def _printed() -> list[dict[str, Any]]:
    tree = parse_yaml(PRINTED.read_text(encoding="utf-8"), Stamp("given", PRINTED.name))
    assert tree is not None
    rows: list[dict[str, Any]] = plain(tree)
    return rows


def printed_notes(recipe: Recipe, parameters: int, tokens: int, stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how a plan agrees with the figures printed for the same model. `stages` are the plan's own rows."""
    for row in _printed():
        if parameters != row["parameters"]:
            continue
        if "printed_parameters" in row:
            yield _parameters(recipe, row)
        if tokens == row.get("tokens"):
            yield _tokens(row)
            yield _hours(row, stages[0])
        if (recipe.plan.device, recipe.plan.devices) == (row["on"], row["devices"]) and recipe.train[0].learns_from_text:
            yield _speed(row, stages[0])
            if recipe.train[0].micro_seqs == row["micro_seqs"]:
                yield _fit(row, stages[0])


def _parameters(recipe: Recipe, row: Mapping[str, Any]) -> str:
    layers, hidden = recipe.model.layers, recipe.model.hidden
    missing = row["parameters"] - row["printed_parameters"]
    assert missing == layers * 2 * hidden
    return (
        f"{row['model']} ({row['source']}) prints {spaced(row['printed_parameters'])} parameters; the described model has "
        f"{spaced(row['parameters'])}. The difference, {spaced(missing)} = {layers} · 2 · {hidden}, is the bias of the two norms "
        "of every layer: the printed figure counts bias only in the final norm."
    )


def _tokens(row: Mapping[str, Any]) -> str:
    return (
        f"Its Table 1 prints {spaced(row['tokens'])} tokens in total; the rows add up to {spaced(row['printed_rows_tokens'])}, "
        f"{row['tokens'] - row['printed_rows_tokens']} fewer. Its weights add up to {row['printed_weights']}, not 1: "
        f"{row['misprinted_source']}'s is printed as {row['misprinted_weight']}, and its tokens are "
        f"{row['misprinted_share']} of the whole."
    )


def _hours(row: Mapping[str, Any], stage: Mapping[str, Any]) -> str:
    per_token, speed, printed = stage["flops_per_token"], row["flops_per_device_s"], row["printed_device_hours"]
    low, high = (device_hours(per_token[key] * row["tokens"], speed) for key in ("six_n", "with_attention"))
    return (
        f"It reports about {spaced(printed)} device-hours. At its {speed / 1e12:.0f} TFLOP/s these tokens take "
        f"{spaced(round(low, -2))} (6N) to {spaced(round(high, -2))} (with attention), {low / printed:.0%} to {high / printed:.0%} "
        "of them; the other hours are not accounted for in the report."
    )


def _speed(row: Mapping[str, Any], stage: Mapping[str, Any]) -> str:
    step = stage["step"]
    if "flops_per_device_s" in row:
        found, printed, unit = step["flops_per_device_s"], row["flops_per_device_s"], (1e12, "TFLOP/s")
    else:
        found = {case: speed / row["devices"] for case, speed in step["tokens_per_s"].items()}
        printed, unit = row["tokens_per_device_s"], (1, "tokens/s")
    slow, likely, fast = (spaced(found[case] / unit[0]) for case in ("high", "likely", "low"))
    inside = "inside" if found["high"] <= printed <= found["low"] else "outside"
    text = (
        f"{row['model']} ({row['source']}) reached about {spaced(printed / unit[0])} {unit[1]} on each of {row['devices']} "
        f"{row['on']}: {inside} the forecast of {slow} to {fast}, {likely} likely ({found['likely'] / printed - 1:+.0%})."
    )
    if "hours" in row:
        hours = row["hours_tokens"] / 3600 / found["likely"]
        text += f" It prints {spaced(row['hours'])} device-hours for {row['hours_tokens'] / 1e9:.0f} B tokens; "
        text += f"this speed makes {spaced(hours)}."
    return text


def _fit(row: Mapping[str, Any], stage: Mapping[str, Any]) -> str:
    fit = stage["fit"]
    return (
        f"Its layout, micro-batches of {row['micro_seqs']} without activation checkpointing, "
        f"{'fits' if fit['fits'] else 'does not fit'} here as there: {format_bytes(fit['needs_bytes'])} of "
        f"{format_bytes(fit['usable_bytes'])}."
    )
