"""Effects in continued pretraining as tables: where ways end, remedies against the plain way, and more of one thing."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import format_p
from pellucid.report.blocks import Block
from pellucid.report.markup import Cell, heading, note, table
from pellucid.report.study.numbers import DIFFERENCE, ends, interval, number

__all__ = ["SPREAD", "causes", "final_scores", "remedies"]

SPREAD = ("mean", "low", "high")
"""Keys of a mean over seeds and the ends of its interval."""

_CAUSES = {"peak": "peak rate", "warm-up": "warm-up steps", "replay": "share of replay"}
_EFFECTS = ("In words", "Dip of old", "p", "Forgotten", "p", "Learnt", "p")
_WORDS = {
    "dip": ("smaller dip", "deeper dip"),
    "forgotten": ("forgets less", "forgets more"),
    "new_change": ("learns more", "learns less"),
}
_TOLD = 0.05


def final_scores(found: Mapping[str, Any]) -> list[Block]:
    """Return the tables of final scores of old and new text; nothing where no run has any."""
    parts: list[Block] = []
    for side in ("old", "new"):
        rows: list[list[Cell]] = []
        for row in found["effects"][f"{side}_end"]["rows"]:
            mean = None if row["mean"] is None else number(row["mean"])
            is_base = row["level"] == found["baseline"]
            verdict = "what others are compared with" if is_base else row["verdict"]
            difference = None if is_base else interval(ends(row, DIFFERENCE))
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
        f"Other choices of text against {own[0]['one']}, at the same tokens in all, by the openings of documents. Below 0 is a "
        "smaller dip, or less forgotten; learnt is of all new text, also what a way does not read."
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
        pair = f"{row['one']} ({row['one_value']:.3g}) to {row['other']} ({row['other_value']:.3g}){also}"
        rows.append([f"{_CAUSES[row['cause']]}: {pair}", *_effects(row)])
    caption = (
        "What more of one thing does, by pairs of ways that differ in it alone, or also in what is named; by openings of documents."
    )
    return [
        heading("Single causes"),
        table(("From, to", *_EFFECTS), rows, caption=caption, numbers_from=2),
    ]


def _effects(row: Mapping[str, Any]) -> list[Cell]:
    cells: list[Cell] = []
    words = []
    for name, (less, more) in _WORDS.items():
        effect = row[name]
        value, *sides = ends(effect, DIFFERENCE, -1 if name == "new_change" else 1)
        cells += [interval([value, *(sides[::-1] if name == "new_change" else sides)]), format_p(effect["p_holm"])]
        if effect["p_holm"] is not None and effect["p_holm"] < _TOLD:
            words.append(less if effect["difference"] < 0 else more)
    return [", ".join(words) or "cannot be told apart", *cells]
