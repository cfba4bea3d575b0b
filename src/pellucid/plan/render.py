"""A plan as text for the terminal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.core.units import format_bytes, format_count, format_duration
from pellucid.plan.draw import bar, draw_curve
from pellucid.plan.notes import spaced

__all__ = ["render_plan"]


def render_plan(plan: Mapping[str, Any], schedules: Mapping[str, Sequence[float]] | None = None) -> RenderableType:
    """Return what `rich` prints for a plan; `schedules` holds learning rates by stage name, evenly spaced over its steps."""
    parts: list[RenderableType] = [_parameters(plan), _sources(plan), _categories(plan)]
    for stage in plan["stages"]:
        parts += [_stage(stage), _memory(stage, plan)]
        rates = (schedules or {}).get(stage["name"])
        if rates:
            parts.append(_schedule(stage, rates))
    parts.append(_spending(plan))
    if plan["notes"]:
        parts.append(Text("\nnotes", style="bold"))
        parts += [Text(_unbroken(f"· {note}")) for note in plan["notes"]]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    """Return a plain table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def _parameters(plan: Mapping[str, Any]) -> Table:
    table = _table("parameters", "part", "count", "share")
    counts = plan["parameters"]
    for part in ("embedding", "attention", "mlp", "norms", "head"):
        table.add_row(part, spaced(counts[part]), f"{counts[part] / counts['total']:.1%}")
    table.add_row("total", spaced(counts["total"]), "", style="bold")
    return table


def _sources(plan: Mapping[str, Any]) -> Table:
    table = _table("\nsources", "source", "share", "tokens", "epochs")
    table.add_column("category")
    for row in plan["sources"]:
        epochs = "?" if row["epochs"] is None else f"{row['epochs']:.2f}"
        capped = " (capped)" if row["capped"] else ""
        table.add_row(row["name"], f"{row['share']:.4f}", spaced(row["tokens"]), epochs + capped, row["category"])
    table.add_row("total", "", spaced(plan["tokens"]["total"]), "", "", style="bold")
    return table


def _categories(plan: Mapping[str, Any]) -> Table:
    table = _table("\ncategories", "category", "share")
    table.add_column("")
    for row in plan["categories"]:
        table.add_row(row["name"], f"{row['share']:.1%}", bar(row["share"]))
    return table


def _stage(stage: Mapping[str, Any]) -> Text:
    per_token = stage["flops_per_token"]
    lines = (
        f"{spaced(stage['tokens'])} tokens in {spaced(stage['steps'])} steps of {spaced(stage['batch_tokens'])}\n"
        f"FLOPs per token  {per_token['six_n'] / 1e9:.4g} G by 6N, {per_token['with_attention'] / 1e9:.4g} G with attention, "
        f"{per_token['matmul'] / 1e9:.4g} G that cannot be avoided\n"
        f"expected         {format_duration(stage['step_s'])} per step, {format_count(stage['tokens_per_s'])} tokens/s"
    )
    return Text.assemble((f"\nstage {stage['name']}\n", "bold"), _unbroken(lines))


def _unbroken(text: str) -> str:
    """Keep the groups of a number on one line."""
    return re.sub(r"(?<=\d) (?=\d{3})", "\u00a0", text)


def _figure(number: float) -> str:
    return spaced(number) if number >= 1000 else f"{number:.3g}"


def _memory(stage: Mapping[str, Any], plan: Mapping[str, Any]) -> Table:
    limit = plan["device"]["memory_bytes"]
    kinds = ("weights", "gradients", "moments", "activations", "loss", "total", "total_checkpointed")
    heads = ("weights", "gradients", "moments", "activations", "loss", "total", "checkpointed")
    table = _table(f"\nmemory of each device (has {format_bytes(limit)})", "sharding", *heads, "fits")
    shardings = stage["memory"] if plan["device"]["count"] > 1 else {"none": stage["memory"]["none"]}
    for name, memory in shardings.items():
        fits = "yes" if memory["total"] <= limit else "checkpointed" if memory["total_checkpointed"] <= limit else "no"
        table.add_row(name, *(format_bytes(memory[kind]) for kind in kinds), fits)
    return table


def _schedule(stage: Mapping[str, Any], rates: Sequence[float]) -> Text:
    lines = draw_curve(rates)
    return Text.assemble((f"\nlearning rate of {stage['name']}, 0 to {max(rates):g}\n", "bold"), "\n".join(lines))


def _spending(plan: Mapping[str, Any]) -> Table:
    device, time, cost, energy = plan["device"], plan["time"], plan["cost"], plan["energy"]
    table = _table(f"\non {device['count']} × {device['title']}", "", "by 6N", "with attention")
    table.add_row("device-hours", _figure(time["device_hours_six_n"]), _figure(time["device_hours"]))
    table.add_row("wall time", format_duration(time["wall_s_six_n"]), format_duration(time["wall_s"]))
    table.add_row("US dollars", _figure(cost["usd_six_n"]), _figure(cost["usd"]))
    table.add_row("kWh (estimated)", _figure(energy["kwh_six_n"]), _figure(energy["kwh"]))
    table.add_row("kg CO2e (estimated)", _figure(energy["kg_co2e_six_n"]), _figure(energy["kg_co2e"]))
    return table
