"""What a trunk saves that is cooled down at several lengths, and what that costs in the end."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.units import format_count
from pellucid.report.blocks import Block, Cell
from pellucid.report.markup import heading, paragraph, table
from pellucid.report.study.numbers import RELATIVE, difference, ends, length_name, number

__all__ = ["schedule_trunk"]


def schedule_trunk(found: Mapping[str, Any]) -> list[Block]:
    """Return the part; nothing where no trunk was named or none of its runs came to its length."""
    trunk = found["trunk"]
    if trunk is None or not trunk["runs"]:
        return []
    name, base = trunk["schedule"], trunk["baseline"]
    trained, separate = format_count(trunk["trained_tokens"]), format_count(trunk["separate_tokens"])
    text = f"{trunk['runs']} runs of {name} trained on {trained} tokens altogether"
    if trunk["saved"]:
        text += (
            f": the shorter begin at a checkpoint of a longer one and only cool down. Each from its first step would take "
            f"{separate}; {100 * trunk['saved']:.0f} % of that was saved."
        )
    else:
        text += ", each from its first step: nothing was shared."
    if base != name:
        text += f" The {trunk['baseline_runs']} runs of {base} took {format_count(trunk['baseline_tokens'])}."
    lines: list[list[Cell]] = []
    for row in trunk["rows"]:
        common = None if row["common_steps"] is None else f"{row['common_steps']} of {row['steps']}"
        values = [number(row["trunk"], 4), number(row["baseline"], 4), difference(ends(row, RELATIVE, 100), 2)]
        tokens = [None if row["tokens"] is None else format_count(row["tokens"]), format_count(row["trained_tokens"])]
        lines.append([length_name(row["length"]), *tokens, common, *values, row["verdict"] or "is the baseline"])
    heads = (
        "Length",
        "Tokens of a run",
        "Trained, all seeds",
        "Steps in common",
        name,
        f"{base} (baseline)",
        "In % [95 %]",
        "In words",
    )
    caption = "What each length took and ended with. Steps in common: those of the plan with the very rates of the longest run."
    return [heading("What a trunk saves"), paragraph(text), table(heads, lines, caption=caption)]
