"""The section of a study about continued pretraining: what the papers say and what was found, falls, trade-off, remedies.

It is handed the plain values of the analysis and adds nothing to them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.scores import format_p
from pellucid.report.blocks import Block, Section, Table
from pellucid.report.figures import Spread, curves
from pellucid.report.markup import Cell, details, figure, heading, note, paragraph, section, table
from pellucid.report.sections import whole
from pellucid.report.study.continued_effects import SPREAD, causes, final_scores, remedies
from pellucid.report.study.continued_figure import tradeoff_drawing
from pellucid.report.study.numbers import ends, interval, number

__all__ = ["continued_section"]

_FAMILIES = {
    "rate": "the learning rate",
    "replay": "replay of old text",
    "text": "the choice of new text",
    "other": "several things at once",
}
_WAY = ("Way", "Differs in", "Curve", "Runs", "Peak rate", "Warm-up steps", "Old text, %", "New sources", "Tokens")
_DIP = ("In words", "Start", "Dip [95 %]", "Dip, %", "Bias", "Worst at")
_BACK = ("In words", "Regained [95 %]", "End \N{MINUS SIGN} start [95 %]", "Runs back", "Back at")
_TRADE = (
    "Way",
    "Beaten in both by",
    "By differences only, not told apart from",
    "Old text at the end [95 %]",
    "New text at the end [95 %]",
)
_TOLD = ("agrees", "contradicts")


def continued_section(found: Mapping[str, Any]) -> Section:
    """Return the section; a sentence in place of what the analysis could not have."""
    parts: list[Block] = [paragraph(_lead(found)), *map(note, found["notes"])]
    if found["gaps"]:
        parts += [
            *_findings(found),
            _ways(found),
            *_curves(found),
            *_gaps(found),
            *final_scores(found),
            *_tradeoff(found),
            *remedies(found),
            *causes(found),
        ]
    return section("continued", "Continued pretraining", *parts)


def _lead(found: Mapping[str, Any]) -> str:
    return (
        f"Every run goes on in the stage {found['stage']} with the weights of the stage before and a fresh optimizer. Old text is "
        f"that of {len(found['old'])} sources, new text of {len(found['new'])}. Points on the way are beginnings of held-out "
        "documents, in bits per byte, of which less is better; intervals are 95 % over seeds (Student's t)."
    )


def _findings(found: Mapping[str, Any]) -> list[Block]:
    rows: list[list[Cell]] = []
    told: dict[int, str] = {}
    for one in found["findings"]:
        if one["verdict"] in _TOLD:
            told[len(rows)] = "told"
        printed = f"{one['source']} (printed: {one['printed']})" if one["printed"] else one["source"]
        rows.append([one["claim"], printed, "; ".join(map(_evidence, one["evidence"])), one["verdict"]])
    if not rows:
        return [note("No claim of a paper could be held against these runs.")]
    caption = "What papers say, and what this study found of it. p-values are corrected for all comparisons of a cause (Holm)."
    columns = ("Claim", "Where", "Found here", "Verdict")
    return [heading("Against the papers"), table(columns, rows, caption=caption, numbers_from=4, kinds=told)]


def _evidence(row: Mapping[str, Any]) -> str:
    in_percent = row["unit"] == "share"
    if row["unit"] == "bits per byte":
        text = interval(ends(row))
    else:
        text = interval(ends(row, scale=100 if in_percent else 1), lambda value: number(value, 0))
    p = f", p {format_p(row['p'])}" if row["p"] is not None else ""
    return f"{row['what']}: {text}{' %' if in_percent else ''}{p}"


def _ways(found: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = []
    for way in found["ways"]:
        share = way["replay_share"]
        rows.append(
            [
                way["level"],
                ", ".join(way["differs"]) or None,
                way["kind"],
                str(way["runs"]),
                None if way["peak_lr"] is None else f"{way['peak_lr']:g}",
                None if way["warmup_steps"] is None else str(way["warmup_steps"]),
                None if share is None else f"{100 * share:.1f}",
                str(len(way["text"])) if way["text"] else None,
                None if way["tokens"] is None else whole(way["tokens"]),
            ]
        )
    before = sorted({f"{way['rate_before']:g}" for way in found["ways"] if way["rate_before"] is not None})
    ended = f" The stage before ended with a rate of {' or '.join(before)}." if before else ""
    caption = f"The ways to go on, as the runs went.{ended}"
    return table(_WAY, rows, caption=caption, numbers_from=3)


def _curves(found: Mapping[str, Any]) -> list[Block]:
    """Return curves of old and new text, the plain way with one family of others at a time, and categories of the plain way."""
    family = {way["level"]: way["family"] for way in found["ways"]}
    parts: list[Block] = [heading("On the way")]
    for side in ("old", "new"):
        own = {one["level"]: one for one in found["curves"] if one["kind"] == side}
        for name, words in _FAMILIES.items():
            levels = [level for level in own if family[level] in ("plain", name)]
            if any(family[level] == name for level in levels):
                caption = f"Change of {side} text since the stage began, by {words}, with 95 % bands."
                parts.append(figure(_lines({level: own[level] for level in levels}), caption, ""))
        if own and set(map(family.get, own)) == {"plain"}:
            parts.append(figure(_lines(own), f"Change of {side} text since the stage began, with 95 % bands.", ""))
    plain = {one["group"]: one for one in found["curves"] if one["kind"] == "category" and one["level"] == found["baseline"]}
    if plain:
        caption = f"Change by category, {found['baseline']}. A category holds old and new text where both have some."
        parts.append(figure(_lines(plain), caption, ""))
    return parts


def _lines(curves_by_name: Mapping[str, Mapping[str, Any]]) -> Any:
    lines = {name: ([at / 1e6 for at in one["tokens"]], one["change"]) for name, one in curves_by_name.items()}
    bands = {
        name: list(zip(one["change_low"], one["change_high"], strict=True))
        for name, one in curves_by_name.items()
        if None not in one["change_low"]
    }
    return curves(lines, "tokens of the stage, millions", "bits per byte since the start", bands=bands)


def _gaps(found: Mapping[str, Any]) -> list[Block]:
    parts: list[Block] = [heading("Fall and return")]
    for side in ("old", "new"):
        rows = [gap for gap in found["gaps"] if gap["kind"] == side]
        if rows:
            parts += _gap_tables(rows, [gap["level"] for gap in rows], "Way", f"Fall and return of {side} text")
    plain = [gap for gap in found["gaps"] if gap["level"] == found["baseline"] and gap["kind"] in ("category", "source")]
    if plain:
        names = [f"{gap['group']} ({gap['side']})" if gap["side"] else gap["group"] for gap in plain]
        parts.append(details(f"By domain, {found['baseline']}", _gap_tables(plain, names, "Domain", "Categories, then sources")))
    parts.append(
        note(
            "The worst of several noisy points is too bad by at most the bias: a fall is told only where the lower end of the "
            "interval of the dip, or of end \N{MINUS SIGN} start, is above it, and so is what was regained. A stability gap is a "
            "fall and a return; what falls without returning is forgotten. Where every run comes back to its start and stays "
            "there, the tokens are given, else how many do. Words in these tables are not corrected for how many there are."
        )
    )
    return parts


def _gap_tables(gaps: Sequence[Mapping[str, Any]], names: Sequence[str], first: str, caption: str) -> list[Block]:
    dips: list[list[Cell]] = []
    recoveries: list[list[Cell]] = []
    documents, size = (_range([gap["text"][key] for gap in gaps]) for key in ("documents", "bytes"))
    each = " each" if first == "Domain" else ""
    text = f"the openings of {documents} held-out documents ({size} bytes){each}"
    for name, gap in zip(names, gaps, strict=True):
        percent = gap["dip_percent"]["mean"]
        dips.append(
            [
                name,
                gap["gap_verdict"],
                number(gap["start"]["mean"]),
                interval(ends(gap["dip"], SPREAD)),
                number(percent, 1),
                number(gap["bias"]),
                _range([gap["worst_tokens"]]),
            ]
        )
        back = gap["recovery_tokens"]["mean"]
        sizes = [interval(ends(gap[name], SPREAD)) for name in ("regained", "forgotten")]
        recovered = f"{gap['recovered_runs']} of {gap['dip']['runs']}"
        recoveries.append([name, gap["recovery_verdict"], *sizes, recovered, None if back is None else whole(back)])
    return [
        table((first, *_DIP), dips, caption=f"{caption}: the fall. Bits per byte of {text}; tokens of the stage.", numbers_from=2),
        table((first, *_BACK), recoveries, caption=f"{caption}: the way back, where a fall is told.", numbers_from=2),
    ]


def _range(spans: Sequence[Mapping[str, Any]]) -> str:
    """Return the least and the greatest of several spans, one number where they are the same."""
    least, greatest = min(span["least"] for span in spans), max(span["greatest"] for span in spans)
    return whole(least) if least == greatest else f"{whole(least)} to {whole(greatest)}"


def _tradeoff(found: Mapping[str, Any]) -> list[Block]:
    trade = found["tradeoff"]
    if not trade["rows"]:
        return []
    ways = {row["level"]: (_ends(row["old_end"]), _ends(row["new_end"])) for row in trade["rows"]}
    drawing = tradeoff_drawing(ways, "old text at the end, bits per byte", "new text at the end, bits per byte")
    rows: list[list[Cell]] = []
    for row in trade["rows"]:
        sure = row["surely_dominated_by"]
        unsure = [level for level in row["dominated_by"] if level not in sure]
        beaten = (", ".join(sure) or None, ", ".join(unsure) or None)
        rows.append([row["level"], *beaten, *(interval(ends(row[name], SPREAD)) for name in ("old_end", "new_end"))])
    text = f"At equal seeds, no other way ends better on both old and new text than: {', '.join(trade['front'])}."
    if set(trade["possible"]) != set(trade["front"]):
        text += f" As far as can be told, that holds of: {', '.join(trade['possible'])}."
    caption = "All held-out old text against all new text at the end of the stage, with 95 % intervals; left and down is better."
    notes = (
        "A way is surely beaten where another is told to end better on old and on new text, both by paired tests over seeds, "
        "corrected for all pairs. The tests leave out what a seed does to all ways alike, and so does the order; the intervals do "
        "not. All ways of a seed start from the same scores: what ends lower has forgotten less, or learnt more."
    )
    head = heading("Old text against new text")
    shown = table(_TRADE, rows, caption="Which ways are beaten, and by which. Bits per byte of all held-out text.", numbers_from=3)
    return [head, paragraph(text), figure(drawing, caption, ""), shown, note(notes)]


def _ends(spread: Mapping[str, Any]) -> Spread:
    return spread["mean"], spread["low"], spread["high"]
