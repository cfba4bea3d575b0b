"""Effects in continued pretraining as tables: where ways end, remedies against the plain way, and more of one thing."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import MINUS, format_p
from pellucid.report.blocks import Block
from pellucid.report.markup import Cell, heading, note, table

__all__ = ["causes", "ends", "interval_text", "number_text", "remedies", "spread_text"]

_CAUSES = {"peak": "peak rate", "warm-up": "warm-up steps", "replay": "share of replay"}
_EFFECTS = ("In words", "Dip of old", "p", "Forgotten", "p", "Learnt", "p")
_WORDS = {
    "dip": ("smaller dip", "deeper dip"),
    "forgotten": ("forgets less", "forgets more"),
    "new_change": ("learns more", "learns less"),
}
_TOLD = 0.05


def ends(found: Mapping[str, Any]) -> list[Block]:
    """Return the tables of final scores of old and new text; nothing where no run has any."""
    parts: list[Block] = []
    for side in ("old", "new"):
        rows: list[list[Cell]] = []
        for row in found["effects"][f"{side}_end"]["rows"]:
            mean = None if row["mean"] is None else number_text(row["mean"])
            is_base = row["level"] == found["baseline"]
            verdict = "what others are compared with" if is_base else row["verdict"]
            difference = None if is_base else interval_text(row["difference"], row["low"], row["high"])
            rows.append([row["level"], verdict, mean, difference, None if is_base else format_p(row["p_holm"])])
        if any(row[2] is not None for row in rows):
            caption = (
                f"All held-out {side} text at the end, bits per byte; differences from {found['baseline']}, p corrected (Holm)."
            )
            parts.append(
                table(("Way", "In words", "Bits per byte", "Difference [95 %]", "p"), rows, caption=caption, numbers_from=2)
            )
    return [heading("At the end"), *parts] if parts else []


def remedies(found: Mapping[str, Any]) -> list[Block]:
    """Return the table of other choices of text against the plain way; nothing where there are none."""
    own = [row for row in found["contrasts"] if row["cause"] == "text"]
    if not own:
        return []
    rows = [[row["other"], *_effects(row)] for row in own]
    caption = (
        f"Other choices of text against {own[0]['one']}, at the same tokens in all. Below 0 is a smaller dip, or less forgotten."
    )
    also = [row["other"] for row in own if row["also"]]
    notes = [note(f"With old text among it, so replay is part of what it does: {', '.join(also)}.")] if also else []
    return [heading("Remedies"), table(("Way", *_EFFECTS), rows, caption=caption, numbers_from=2), *notes]


def causes(found: Mapping[str, Any]) -> list[Block]:
    """Return the table of what more of one thing does; nothing where no two ways differ in one thing."""
    own = [row for row in found["contrasts"] if row["cause"] in _CAUSES]
    if not own:
        return []
    rows: list[list[Cell]] = []
    for row in own:
        also = f", with {' and '.join(row['also'])}" if row["also"] else ""
        ends = f"{row['one']} ({row['one_value']:g}) to {row['other']} ({row['other_value']:g}){also}"
        rows.append([f"{_CAUSES[row['cause']]}: {ends}", *_effects(row)])
    caption = "What more of one thing does, by pairs of ways that differ in it alone, or also in what is named."
    return [
        heading("Single causes"),
        table(("From, to", *_EFFECTS), rows, caption=caption, numbers_from=2),
    ]


def _effects(row: Mapping[str, Any]) -> list[Cell]:
    cells: list[Cell] = []
    words = []
    for name, (less, more) in _WORDS.items():
        effect = row[name]
        sign = -1 if name == "new_change" else 1
        ends = [None if effect[end] is None else sign * effect[end] for end in ("low", "high")[::sign]]
        cells += [
            interval_text(None if effect["difference"] is None else sign * effect["difference"], *ends),
            format_p(effect["p_holm"]),
        ]
        if effect["p_holm"] is not None and effect["p_holm"] < _TOLD:
            words.append(less if effect["difference"] < 0 else more)
    return [", ".join(words) or "cannot be told apart", *cells]


def spread_text(spread: Mapping[str, Any]) -> str:
    """Return a mean with its interval."""
    return interval_text(spread["mean"], spread["low"], spread["high"])


def interval_text(value: float | None, low: float | None, high: float | None, *, in_percent: bool = False) -> str:
    """Return a value with the ends of its interval, where there are both; of a share in percent, without the sign."""
    scale, places = (100, 0) if in_percent else (1, 3)
    if value is None:
        return "–"
    text = number_text(scale * value, places)
    return (
        text if low is None or high is None else f"{text} [{number_text(scale * low, places)}, {number_text(scale * high, places)}]"
    )


def number_text(value: float, places: int = 3) -> str:
    """Return a number with a true minus sign, and no sign where it is shown as nothing."""
    return f"{value:z.{places}f}".replace("-", MINUS)
