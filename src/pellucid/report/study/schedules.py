"""A study's section about learning-rate schedules, as Fig. 4 of the Stable LM 2 report: rates, losses, ends, means, and a trunk."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.report.blocks import Block, Cell, Drawing, Section
from pellucid.report.figures import curves
from pellucid.report.markup import figure, heading, note, paragraph, section, table
from pellucid.report.study.metrics import METRICS
from pellucid.report.study.numbers import length_name, rate
from pellucid.report.study.printed_rates import printed_rates
from pellucid.report.study.schedule_ends import schedule_ends
from pellucid.report.study.schedule_means import schedule_means
from pellucid.report.study.schedule_trunk import schedule_trunk

__all__ = ["schedules_section"]

Found = Mapping[str, Any]


def schedules_section(found: Found) -> Section:
    """Return the section of what `analyse_schedules` found; raise `MissingExtraError` without matplotlib."""
    if not found["schedules"]:
        parts: list[Block] = [paragraph("No run has a level of the axis of schedules.")]
    else:
        what = METRICS[found["metric"]]
        counts = [
            f"{len(found[key])} {word}{'s' * (len(found[key]) != 1)}"
            for key, word in (("schedules", "schedule"), ("lengths", "length"), ("seeds", "seed"))
        ]
        text = (
            f"{counts[0]} at {counts[1]} with {counts[2]}, compared by {what}, of which less is better. Differences are from "
            f"{found['baseline']} at the same length and with the same seeds. Intervals are 95 %, from the noise of all runs of a "
            "length, or of the two schedules alone where one has more of it than chance gives."
        )
        parts = [paragraph(text), *_rates(found), *_losses(found), *schedule_ends(found, what)]
        parts += [*schedule_means(found), *schedule_trunk(found)]
    return section("schedules", "Learning-rate schedules", *parts, *map(note, found["notes"]), *printed_rates(found["printed"]))


def _of_trunk(rows: Sequence[Found], found: Found) -> dict[str, Found]:
    """Return the trunk's rows by length, from the longest; nothing where only one length is known."""
    if found["trunk"] is None:
        return {}
    own = [row for row in reversed(rows) if row["schedule"] == found["trunk"]["schedule"]]
    return {f"{row['schedule']}, {length_name(row['length'])}": row for row in own} if len(own) > 1 else {}


def _at_longest(rows: Sequence[Found], found: Found) -> dict[str, Found]:
    return {row["schedule"]: row for row in rows if row["length"] == found["longest"]}


def _rates(found: Found) -> list[Block]:
    parts: list[Block] = [heading("Learning rates")]
    captions = {
        "Rates by step at the longest length, as planned.": _at_longest(found["rates"], found),
        "Rates of the trunk and of what branches off it, as planned.": _of_trunk(found["rates"], found),
    }
    for caption, rows in captions.items():
        if rows:
            lines = {name: (row["steps"], row["planned"]) for name, row in rows.items()}
            parts.append(figure(curves(lines, "step", "learning rate"), caption, ""))
    departures = [row["departure"] for row in found["rates"] if row["departure"] is not None]
    if departures:
        most = max(departures)
        told = f"depart from these by up to {most:.1g} of their value" if most else "are exactly these"
        parts.append(note(f"The rates that training used {told}."))
    return [*parts, _mean_rates(found)]


def _mean_rates(found: Found) -> Block:
    at = {(row["schedule"], row["length"]): row for row in found["means"]}
    lengths = [one["length"] for one in found["lengths"]]
    rows = []
    for name in found["schedules"]:
        cells: list[Cell] = [name]
        for length in lengths:
            row = at.get((name, length), {"planned": None, "used": None})
            cells += [None if row[key] is None else rate(row[key]) for key in ("planned", "used")]
        rows.append(cells)
    heads = [f"{length_name(length)}, {which}" for length in lengths for which in ("planned", "used")]
    caption = "Mean rate over the run: the planned schedule integrated, and the mean of the rates that training used."
    return table(("Schedule", *heads), rows, caption=caption)


def _losses(found: Found) -> list[Block]:
    parts: list[Block] = []
    captions = {
        "Training loss at the longest length, from a quarter of it on": (_at_longest(found["losses"], found), 1 / 4),
        "Training loss of the trunk and of what was cooled down from it, from a tenth on": (
            _of_trunk(found["losses"], found),
            1 / 10,
        ),
    }
    behind = f"the mean of the last {found['loss_steps']} steps and over seeds; bands are one standard deviation of seeds."
    for caption, (rows, share) in captions.items():
        if rows:
            parts.append(figure(_loss_drawing(rows, share), f"{caption}: {behind}", ""))
    return [heading("Loss"), *parts] if parts else []


def _loss_drawing(rows: Mapping[str, Found], share: float) -> Drawing:
    """Draw losses from a share of the longest run on: the fall at the beginning would hide what comes after."""
    lines, bands = {}, {}
    first = share * max(row["tokens"][-1] for row in rows.values())
    for name, row in rows.items():
        kept = [at for at, value in enumerate(row["mean"]) if value is not None and row["tokens"][at] >= first]
        lines[name] = ([row["tokens"][at] / 1e6 for at in kept], [row["mean"][at] for at in kept])
        if kept and all(row["low"][at] is not None for at in kept):
            bands[name] = [(row["low"][at], row["high"][at]) for at in kept]
    return curves(lines, "tokens, millions", "loss, nats per token", bands=bands)
