"""What schedules end with, by length: values, differences to the baseline, and the report's statement that they are within 1 %."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.scores import format_p
from pellucid.report.blocks import Block, Cell, Figure
from pellucid.report.figures import Spread, curves, dots
from pellucid.report.markup import figure, heading, note, paragraph, table
from pellucid.report.study.numbers import RELATIVE, difference, ends, length_name, number, percents, signed

__all__ = ["schedule_ends"]

Found = Mapping[str, Any]

_TOLD = {
    ("within 1 %", True): "Here that holds, and the intervals of all pairs lie within 1 % too.",
    ("cannot be told", True): "Here that holds of the values as they came; intervals reach beyond 1 %, so more cannot be excluded.",
    ("cannot be told", False): "Here the widest difference is more than 1 % as it came, but its interval reaches below 1 %.",
    ("beyond 1 %", False): "Here that does not hold: a pair is more than 1 % apart by all of its interval.",
}


def schedule_ends(found: Found, what: str) -> list[Block]:
    """Return the part; `what` names the metric."""
    drawn = [*_by_length(found, what), *_differences(found)]
    return [heading("Ends"), *_claims(found), *drawn, _values(found), *_widest(found)]


def _claims(found: Found) -> list[Block]:
    of_all, of_three = found["claim"], found["claim_of_report"]
    if of_all is None:
        where = f"at {length_name(found['judged_at'][-1])}, which is judged" if _is_trunk_shared(found) else "at one length"
        return [note(f"No two schedules have a value {where}."), *_not_turned(found)]
    parts: list[Block] = []
    if of_three is not None:
        told = _TOLD[of_three["verdict"], of_three["is_within"]]
        text = f"The report prints that the final losses of cosine, hyb and hyb₂ lie within 1 % of each other (Fig. 4). {told}"
        parts.append(paragraph(f"{text} Of the three, {_apart(of_three)}"))
    if of_three is None or (of_three["worst"], of_three["best"]) != (of_all["worst"], of_all["best"]):
        parts.append(paragraph(f"Of all {len(found['schedules'])} schedules, {_apart(of_all)}"))
    if _is_trunk_shared(found):
        judged = " and ".join(map(length_name, found["judged_at"]))
        text = (
            f"This is judged at {judged} only. Shorter runs of a trunk have the curve of the longest, cooled down early, and not "
            "one of their own length, which is what the report compares; they stand in the tables."
        )
        parts.append(paragraph(text))
    return [*parts, *_not_turned(found), *_rsqrt(found)]


def _is_trunk_shared(found: Found) -> bool:
    return len(found["judged_at"]) < len(found["finals"])


def _not_turned(found: Found) -> list[Block]:
    """Say which hybrids are only a cosine, as they are cooled down before they turn."""
    rows = found["not_turned"]
    if not rows:
        return []
    told = []
    for name in dict.fromkeys(row["schedule"] for row in rows):
        own = [row for row in rows if row["schedule"] == name]
        places = (f"at {length_name(row['length'])} (step {row['curve_steps']} of {row['turn_step']:.4g})" for row in own)
        told.append(f"{name} {' and '.join(places)}")
    text = f"Cooled down or ended before they turn from their cosine to 1/√step: {', '.join(told)}."
    return [paragraph(f"{text} In brackets, the last step of the curve, and where it would turn.")]


def _apart(claim: Found) -> str:
    wide = difference(ends(claim, ("relative", "low", "high"), 100), 2)
    spread = "" if claim["of_spread"] is None else f", {claim['of_spread']:.1f} times the spread over seeds"
    return f"{claim['worst']} and {claim['best']} are farthest apart, at {length_name(claim['length'])}: {wide} %{spread}."


def _rsqrt(found: Found) -> list[Block]:
    """The report's other finding: rsqrt is always worse than cosine."""
    names = [name for name in found["schedules"] if found["kinds"][name] == "rsqrt"]
    if found["kinds"][found["baseline"]] != "cosine" or not names:
        return []
    verdicts = [row["verdict"] for at in found["finals"] for row in at["rows"] if row["level"] == names[0]]
    counts = {verdict: verdicts.count(verdict) for verdict in ("worse", "better", "cannot be told apart")}
    told = ", ".join(f"{verdict} at {count}" for verdict, count in counts.items() if count) or "not compared"
    return [paragraph(f"The report finds rsqrt worse than cosine throughout. Here, of {len(verdicts)} lengths: {told}.")]


def _by_length(found: Found, what: str) -> list[Figure]:
    """Draw final values over lengths, where there are two of them."""
    known = [at for at in found["finals"] if at["tokens"]]
    lines, bands = {}, {}
    for name in found["schedules"]:
        rows = [(at, row) for at in known for row in at["rows"] if row["level"] == name and row["mean"] is not None]
        if len(rows) > 1:
            lines[name] = ([at["tokens"] / 1e6 for at, _ in rows], [row["mean"] for _, row in rows])
            if all(at["spread"] is not None for at, _ in rows):
                bands[name] = [(row["mean"] - at["spread"], row["mean"] + at["spread"]) for at, row in rows]
    caption = f"Final {what}, by length: the mean over seeds; bands are one standard deviation of seeds."
    return [figure(curves(lines, "tokens, millions", what, bands=bands), caption, "")] if lines else []


def _differences(found: Found) -> list[Figure]:
    series: dict[str, list[Spread | None]] = {name: [] for name in found["schedules"]}
    for at in found["finals"]:
        rows = {row["level"]: row for row in at["rows"]}
        for name, values in series.items():
            # The baseline is drawn too, so that each schedule has its colour in all figures.
            values.append((0.0, None, None) if name == at["baseline"] else percents(rows.get(name)))
    if not any(value is not None for name, values in series.items() for value in values if name != found["baseline"]):
        return []
    names = [length_name(at["length"]) for at in found["finals"]]
    caption = f"Difference to {found['baseline']} at the same length, with 95 % intervals; left of 0 is better."
    return [figure(dots(names, series, "difference, %"), caption, "")]


def _values(found: Found) -> Block:
    lines: list[list[Cell]] = []
    told: dict[int, str] = {}
    for at in found["finals"]:
        for row in at["rows"]:
            if row.get("verdict") in ("better", "worse"):
                told[len(lines)] = "told"
            compared: list[Cell] = [None, None, None, "baseline"]
            if row["level"] != at["baseline"]:
                relative = difference(ends(row, RELATIVE, 100), 2)
                absolute = signed(row["difference"])
                compared = [absolute, relative, format_p(row["p_holm"]), row["verdict"]]
            lines.append([length_name(at["length"]), row["level"], _by_seed(row, found), number(row["mean"], 4), *compared])
    seeds = " · ".join(map(str, found["seeds"]))
    caption = (
        f"Final values by seed ({seeds}, or as stated), their mean, and differences to {found['baseline']}. p is corrected for the "
        "schedules of a length (Holm)."
    )
    heads = ("Length", "Schedule", "By seed", "Mean", "Difference", "In % [95 %]", "p", "In words")
    return table(heads, lines, caption=caption, numbers_from=2, kinds=told)


def _by_seed(row: Found, found: Found) -> str | None:
    values = [f"{value:.4f}" for value in row["values"]]
    if row["seeds"] != found["seeds"]:
        values = [f"{seed}: {value}" for seed, value in zip(row["seeds"], values, strict=True)]
    return " · ".join(values) or None


def _widest(found: Found) -> list[Block]:
    rows: list[list[Cell]] = []
    for at in found["finals"]:
        one = at["widest"]
        if one is not None:
            relative = difference(ends(one, ("relative", "low", "high"), 100), 2)
            spread = [number(one["of_spread"], 1), number(at["spread"], 4)]
            resolved = None if at["resolved"] is None else signed(100 * at["resolved"], 2).lstrip("+")
            rows.append(
                [length_name(at["length"]), f"{one['worst']} over {one['best']}", relative, format_p(one["p"]), *spread, resolved]
            )
    caption = (
        "The widest difference at each length. As the pair is picked out, p is of the studentised range (Tukey), and intervals "
        "hold for all pairs and lengths together. Resolved: half the interval of a difference to the baseline; less cannot be seen."
    )
    heads = ("Length", "Pair", "In % [95 %]", "p", "Over the spread", "Spread of seeds", "Resolved, %")
    return [table(heads, rows, caption=caption, numbers_from=2)] if rows else []
