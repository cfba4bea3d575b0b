"""A plan as text for the terminal: what it comes to first, then where that is from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.core.excerpt import in_words
from pellucid.core.units import format_count, format_duration
from pellucid.plan.draw import bar
from pellucid.plan.lengths import length_word
from pellucid.plan.notes import spaced
from pellucid.plan.render_stage import format_seconds, headed, plain_table, render_stage, unbroken

__all__ = ["render_plan"]


def render_plan(plan: Mapping[str, Any], schedules: Mapping[str, Sequence[float]] | None = None) -> RenderableType:
    """Return what `rich` prints for a plan; `schedules` holds learning rates by stage name, evenly spaced over its steps."""
    parts: list[RenderableType] = [_headline(plan), _parameters(plan)]
    if plan["sources"]:  # a recipe that only tunes has none
        parts += [_sources(plan), _categories(plan)]
    for stage in plan["stages"]:
        parts += render_stage(stage, plan, (schedules or {}).get(stage["name"]))
    parts.append(_spending(plan))
    if plan["notes"]:
        parts.append(Text("\nnotes", style="bold"))
        parts += [_note(note) for note in plan["notes"]]
    return Group(*parts)


def _headline(plan: Mapping[str, Any]) -> Text:
    """Return what a reader in a hurry wants to know."""
    device = plan["device"]
    fits = "; ".join(_unfit(plan)) or "it fits"
    tokens, spent = _length(plan)
    what = f"{format_count(plan['parameters']['total'])} parameters, {tokens}, on {device['count']} × {device['title']}: {fits}"
    return Text.assemble((plan["recipe"] + "\n", "bold"), unbroken(f"{what}\n{spent}\n"))


def _unfit(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which stages cannot be trained so: those whose batch cannot be dealt out, then those without the memory."""
    refused = [stage["name"] for stage in plan["stages"] if stage["fit"]["refused"] is not None]
    small = [stage["name"] for stage in plan["stages"] if stage["fit"]["needs_bytes"] > stage["fit"]["usable_bytes"]]
    if refused:
        count = plan["device"]["count"]
        yield f"{in_words(refused)} cannot be dealt out to {count} {'device' if count == 1 else 'devices'}"
    if small:
        yield f"{in_words(small)} {'does' if len(small) == 1 else 'do'} not fit"


def _length(plan: Mapping[str, Any]) -> tuple[str, str]:
    """Return how many tokens, and what they take; where a stage's length is not known, that, and what one step of it takes."""
    if plan["one_step_only"]:
        steps = [
            f"a step of {stage['name']} takes {_between_durations(stage['step']['s'])}"
            for stage in plan["stages"]
            if stage["length_basis"] == "one_step"
        ]
        return (
            "tokens not known",
            f"time and cost are not known: the recipe does not say how many examples {in_words(plan['one_step_only'])} will read\n"
            + "; ".join(steps),
        )
    wall, usd, kwh, kg = (
        plan[part][f"{key}_range"] for part, key in (("time", "wall_s"), ("cost", "usd"), ("energy", "kwh"), ("energy", "kg_co2e"))
    )
    word = length_word({stage["length_basis"] for stage in plan["stages"]})
    cost = f"${_figure(usd['likely'])}, {_figure(kwh['likely'])} kWh, {_figure(kg['likely'])} kg CO2e"
    return (
        f"{word}{format_count(plan['tokens']['total'] + plan['tokens']['examples'])} tokens",
        f"{word}{_between_durations(wall)}, {cost}",
    )


def _between_durations(found: Mapping[str, float]) -> str:
    return f"{format_seconds(found['likely'])} ({format_seconds(found['low'])} to {format_seconds(found['high'])})"


def _parameters(plan: Mapping[str, Any]) -> Group:
    table = plain_table("part", "count", "share")
    table.add_column("")
    counts = plan["parameters"]
    for part in ("embedding", "attention", "mlp", "norms", "head"):
        share = counts[part] / counts["total"]
        table.add_row(part, spaced(counts[part]), f"{share:.1%}", bar(share))
    table.add_row("total", spaced(counts["total"]), "", "", style="bold")
    return headed("parameters", table)


def _sources(plan: Mapping[str, Any]) -> Group:
    table = plain_table("source", "share", "tokens", "epochs")
    table.add_column("category")
    for row in plan["sources"]:
        epochs = "?" if row["epochs"] is None else f"{row['epochs']:.2f}"
        capped = " (capped)" if row["capped"] else ""
        table.add_row(row["name"], f"{row['share']:.4f}", spaced(row["tokens"]), epochs + capped, row["category"])
    table.add_row("total", "", spaced(plan["tokens"]["total"]), "", "", style="bold")
    return headed("sources", table)


def _categories(plan: Mapping[str, Any]) -> Group:
    table = plain_table("category", "share")
    table.add_column("")
    for row in plan["categories"]:
        table.add_row(row["name"], f"{row['share']:.1%}", bar(row["share"]))
    return headed("categories", table)


def _figure(number: float) -> str:
    return spaced(number) if number >= 1000 else f"{number:.3g}"


def _spending(plan: Mapping[str, Any]) -> Group:
    """Return time, money and energy between bounds, and what 6N alone would make of the likely one."""
    device, time, cost, energy = plan["device"], plan["time"], plan["cost"], plan["energy"]
    table = plain_table("", "low", "likely", "high", "likely by 6N")
    rows: list[tuple[str, Mapping[str, float], float, bool]] = [
        ("device-hours", time["device_hours_range"], time["device_hours_six_n"], False),
        ("wall time", time["wall_s_range"], time["wall_s_six_n"], True),
        ("US dollars", cost["usd_range"], cost["usd_six_n"], False),
        ("kWh", energy["kwh_range"], energy["kwh_six_n"], False),
        ("kg CO2e", energy["kg_co2e_range"], energy["kg_co2e_six_n"], False),
    ]
    for name, found, six_n, is_time in rows:
        show = format_duration if is_time else _figure
        table.add_row(name, show(found["low"]), Text(show(found["likely"]), style="bold"), show(found["high"]), show(six_n))
    below = (
        f"a device: {_between(cost['usd_per_device_hour_range'])} $/h, {_between(energy['power_w_range'])} W; "
        f"PUE {energy['pue']:g}, {energy['grid_kg_co2e_per_kwh']:g} kg CO2e/kWh; all estimated"
    )
    title, word = f"on {device['count']} × {device['title']}", length_word({stage["length_basis"] for stage in plan["stages"]})
    if plan["one_step_only"]:
        title += f", with no more than one step of {in_words(plan['one_step_only'])}"
    elif word:
        title += f", {word.strip()}"
    return headed(title, table, below=below)


def _between(found: Mapping[str, float]) -> str:
    return f"{found['low']:.3g} to {found['high']:.3g}" if found["low"] < found["high"] else f"{found['likely']:.3g}"


def _note(note: str) -> Table:
    """Return a note whose lines stand under each other."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column()
    table.add_row("·", unbroken(note))
    return table
