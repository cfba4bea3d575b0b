"""What the Stable LM 2 report found of its data mixes (arXiv 2402.17834, Appendix A), asked again of a study's own runs.

The report scores benchmarks in percent (Table 10); here it is bits per byte of held-out text. Directions can be compared.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.scores import MINUS
from pellucid.evals.paired import holm, verdict
from pellucid.plan.printed_mixes import printed_mixes
from pellucid.studies.contrasts import contrast_of
from pellucid.studies.effects import effects_of
from pellucid.studies.least_squares import Estimate
from pellucid.studies.mixes.tables import Group, english_without
from pellucid.studies.results import RunResult

__all__ = ["MODEST", "findings_of"]

MODEST = 0.25
"""A gain from 6 % to 9 % is modest below this part of the gain up to 6 %: half of what as much for every per cent would give."""
_CODE, _UPSAMPLED = "Code", ("Academic", "Books")


def findings_of(runs: Sequence[RunResult], axis: str, languages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the report's findings, each with what is measured here. `languages` is the table of scores by language.

    A finding has `name` (own_language, saturation, code, upsampling), `claim`, `verdict` (agrees, contradicts, cannot be told),
    `why`, `rows` (what it rests on: `what`, `difference`, `low`, `high`, `p`, `p_holm`, `verdict`; less is better; p is corrected
    over the rows of the finding; `paired`: one difference for each seed, none for sums of levels) and `printed` (columns of Table
    10 by mix, in percent). Only findings whose mixes are among the levels of the axis are returned.
    """
    levels = {run.levels[axis] for run in runs if axis in run.levels}
    own = _languages(languages)
    found = []
    if {"control", "mix1", "mix2", "mix3"} <= levels and own:
        found += [_own_language(own), _saturation(runs, axis, [str(table["group"]) for table in own])]
    if {"control", "mix5"} <= levels:
        found.append(_code(runs, axis))
    if {"control", "mix4"} <= levels:
        found.append(_upsampling(runs, axis))
    return found


def _languages(tables: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the tables of the languages that mixes 1 to 3 have text of and the control has not."""
    table = printed_mixes()
    added = {one for row in table.rows if row.weights[0] == 0 for one in row.languages}
    return [one for one in tables if one["group"] in added]


def _own_language(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = []
    for table in tables:
        of = {row["level"]: row for row in table["rows"]}
        rows += [_told(f"{table['group']}: {mix}", of[mix]) for mix in ("mix1", "mix2", "mix3")]
    _correct(rows)
    better, worse = (sum(row["verdict"] == word for row in rows) for word in ("better", "worse"))
    told = "contradicts" if worse else "agrees" if better == len(rows) else "cannot be told"
    return {
        "name": "own_language",
        "claim": "Every language gains from any amount of text of its own.",
        "verdict": told,
        "why": f"Of {len(rows)} comparisons with the control (languages by mixes 1 to 3) {better} are better and {worse} worse. "
        "All of the languages come together: what its own text does for one, and what the others' does, are not told apart.",
        "rows": rows,
        "printed": _printed("LAMBADA", "Okapi"),
    }


def _saturation(runs: Sequence[RunResult], axis: str, languages: Sequence[str]) -> dict[str, Any]:
    def mean(run: RunResult) -> float:
        return math.fsum(run.bits_per_byte("language", one) for one in languages) / len(languages)

    first = contrast_of(runs, axis, mean, {"mix2": 1.0, "control": -1.0})
    second = contrast_of(runs, axis, mean, {"mix3": 1.0, "mix2": -1.0})
    # The second step less what would be modest of the first: above 0 where it gains less than that.
    less = contrast_of(runs, axis, mean, {"mix3": 1.0, "mix2": -1.0 - MODEST, "control": MODEST})
    rows = [
        _told("mean over languages, from 0 to 6 %", first),
        _told("mean over languages, from 6 to 9 %", second),
    ]
    _correct(rows)
    part = None if first is None or second is None or not first.value else second.value / first.value
    if first is None or first.high is None or first.high >= 0:
        told, why = "cannot be told", "There is no sure gain up to 6 % that could saturate."
    elif less is None or less.low is None or less.high is None:
        told, why = "cannot be told", "Too few runs."
    else:
        told = "agrees" if less.low > 0 else "contradicts" if less.high < 0 else "cannot be told"
        why = (
            f"From 6 to 9 % the languages gain {100 * (part or 0.0):.0f} % of what they gain up to 6 %; "
            f"as much for every per cent would be 50 %, and modest is taken to be below {100 * MODEST:.0f} %."
        )
    return {
        "name": "saturation",
        "claim": "Beyond 6 % the gain is modest.",
        "verdict": told,
        "why": why,
        "rows": rows,
        "printed": _printed("LAMBADA", "Okapi"),
    }


def _code(runs: Sequence[RunResult], axis: str) -> dict[str, Any]:
    whole, code = Group("language", "en"), Group("category", _CODE)
    others = english_without(runs, (_CODE,))
    rows = _rows(
        runs, axis, "mix5", [*([("English other than code", others)] if others else []), ("English", whole), ("Code", code)]
    )
    told = {"worse": "agrees", "better": "contradicts"}.get(rows[0]["verdict"], "cannot be told")
    return {
        "name": "code",
        "claim": "More code in place of web text makes the model of language worse.",
        "verdict": told,
        "why": f"{rows[0]['what']}, mix 5 (28 % of code) against the control (7 %): {rows[0]['verdict']}. {_changes('mix5')}",
        "rows": rows,
        "printed": _printed("Avg", "English Commonsense", "LAMBADA", "Okapi"),
    }


def _upsampling(runs: Sequence[RunResult], axis: str) -> dict[str, Any]:
    others = english_without(runs, _UPSAMPLED)
    named = [(name, Group("category", name)) for name in _UPSAMPLED]
    first = [("English other than Academic and Books", others)] if others else []
    rows = _rows(runs, axis, "mix4", [*first, ("English", Group("language", "en")), *named])
    told = {"better": "agrees", "worse": "contradicts"}.get(rows[0]["verdict"], "cannot be told")
    return {
        "name": "upsampling",
        "claim": "More of Academic and Books in place of web text makes the model better.",
        "verdict": told,
        "why": f"{rows[0]['what']}, mix 4 against the control: {rows[0]['verdict']}. {_changes('mix4')}",
        "rows": rows,
        "printed": _printed("Avg", "English Commonsense", "LAMBADA", "Okapi"),
    }


def _rows(runs: Sequence[RunResult], axis: str, mix: str, groups: Sequence[tuple[str, Group]]) -> list[dict[str, Any]]:
    """Return what one mix does to each group: to the first, and to the others that there is text of."""
    found: list[dict[str, Any]] = []
    for what, group in groups:
        effects = effects_of(runs, axis, group.bits, "control")
        told = _told(what, next(row for row in effects["rows"] if row["level"] == mix))
        if not found or told["difference"] is not None:
            found.append(told)
    _correct(found)
    return found


def _told(what: str, of: Mapping[str, Any] | Estimate | None) -> dict[str, Any]:
    """Return a row out of a row of `effects_of`, or out of an `Estimate`."""
    if isinstance(of, Mapping):
        return {"what": what, **{key: of[key] for key in ("difference", "low", "high", "p", "paired")}}
    if of is None:
        return {"what": what, "paired": [], **dict.fromkeys(("difference", "low", "high", "p"))}
    return {"what": what, "difference": of.value, "low": of.low, "high": of.high, "p": of.p, "paired": []}


def _correct(rows: Sequence[dict[str, Any]]) -> None:
    """Give each row its verdict, p corrected over these rows (Holm)."""
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"], row["verdict"] = p, verdict(row["difference"], p, "bits_per_byte")


def _changes(mix: str) -> str:
    """Say how a mix differs from the control in print."""
    scores = printed_mixes().scores
    changes = {column: scores.of(column)[mix] - scores.of(column)["control"] for column in scores.columns}
    return f"In print: {', '.join(f'{column} {change:+.2f}' for column, change in changes.items())}.".replace("-", MINUS)


def _printed(*columns: str) -> dict[str, dict[str, float]]:
    return {column: printed_mixes().scores.of(column) for column in columns}
