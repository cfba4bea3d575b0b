"""Levels of an axis of data mixes: those of the Stable LM 2 report on a recipe's own sources, and mixes with a part left out."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pellucid.core.errors import Problem, RecipeError
from pellucid.plan.printed_mixes import PrintedRowOfMix, printed_mixes
from pellucid.recipe.data import SourceConfig

__all__ = ["leave_out_levels", "report_mixes"]

_UNCLEAR = (None, "mul")


def report_mixes(sources: Sequence[SourceConfig]) -> dict[str, dict[str, float]]:
    """Return for the report's control and its mixes 1 to 5 the weight of each source; those of a mix add up to 1.

    Table 9 (arXiv 2402.17834, Appendix A) has nine rows. A source belongs to a row by its category and language, as
    `plan/printed_mixes.yaml` says. Web and Instruction (which the table does not have) in English or in one of six other languages
    are Cultura-x; Code in English, in several or in no language is Starcoder; Academic, Books, Social, Law, Math and Wiki in
    English are the others. All else has weight 0 in every mix: text of other languages in all categories but these two, because the
    report has nothing but web text of them, and the control is to have none (so Code that is of one other language goes too).

    Printed columns add up to 0.9888 to 1.0488: weights are shares of the sum. Within a row, sources share by `available_tokens`
    where all of them have it, else by their weights. In mix 4 the others but Academic and Books keep the printed weight that they
    have in the control; Academic and Books have the rest, each as much more as the other.

    Raises `RecipeError` where a row with weight has no source, where a source that a row might need is `mul` or of no language, and
    where sources of a row have neither size nor weight.
    """
    table = printed_mixes()
    problems = [*_of_unclear_language(sources), *_rows_without(sources)]
    shares = {} if problems else {row.name: _shares(row, sources, problems) for row in table.rows}
    if not problems:
        problems += _without_upsampled(sources, shares)
    if problems:
        raise RecipeError(f"the mixes of {table.weights_table} of the {table.report} report", problems)
    mixes: dict[str, dict[str, float]] = {}
    for mix in table.mixes:
        weights = dict.fromkeys((source.name for source in sources), 0.0)
        for row, printed in table.weights_of(mix).items():
            for name, weight in _within_row(mix, row, printed, shares[row], sources).items():
                weights[name] = weight
        mixes[mix] = _as_shares(weights)
    return mixes


def leave_out_levels(
    sources: Sequence[SourceConfig], by: Literal["category", "source"], weights: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return `all`, the weights as shares of their sum, and for each category or source that is read `no-NAME`, without it.

    What is left keeps its proportions. `weights` are those of the stage by source; a source that it does not name has none. Raises
    `RecipeError` where fewer than two categories or sources are read, as nothing would be left.
    """
    all_of = _as_shares({source.name: weights.get(source.name, 0.0) for source in sources})
    named = {source.name: source.category if by == "category" else source.name for source in sources}
    read = list(dict.fromkeys(named[name] for name, share in all_of.items() if share > 0))
    if len(read) < 2:
        found = f"only {read[0]!r} is read" if read else "nothing is read"
        fix = f"give sources of another {by} a weight"
        raise RecipeError(f"leave_out: {by}", [Problem("sources", f"{found}; without it there is no text to train on", fix)])
    without = {
        f"no-{one}": _as_shares({name: 0.0 if named[name] == one else share for name, share in all_of.items()}) for one in read
    }
    return {"all": all_of, **without}


def _as_shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _of_unclear_language(sources: Sequence[SourceConfig]) -> list[Problem]:
    """Find sources of a row's category whose row cannot be told, because they are of several languages or of no known one."""
    table = printed_mixes()
    found = []
    for number, source in enumerate(sources):
        rows = [row.name for row in table.rows if source.category in row.categories]
        if not rows or source.language not in _UNCLEAR or table.row_of(source.category, source.language) is not None:
            continue
        row = f"row {rows[0]!r}" if len(rows) == 1 else f"rows {rows[0]!r} to {rows[-1]!r}"
        what = "has no language" if source.language is None else "is of several languages (mul)"
        found.append(
            Problem(
                f"sources[{number}].language",
                f"{source.name!r} ({source.category}) {what}; {row} must know which",
                "give each file as a source of its own with its language, or name the language that it mostly has",
            )
        )
    return found


def _rows_without(sources: Sequence[SourceConfig]) -> list[Problem]:
    """Find rows with weight that no source belongs to, nor could belong to if its language were known."""
    unclear = {source.category for source in sources if source.language in _UNCLEAR}
    found = []
    for row in printed_mixes().rows:
        has_source = any(row.holds(source.category, source.language) for source in sources)
        if has_source or not any(row.weights) or unclear & set(row.categories):
            continue
        found.append(
            Problem(
                f"row {row.name!r}",
                f"has a weight of up to {max(row.weights):g}, and no source is {' or '.join(row.categories)} in {row.languages[0]}",
                f"add a source with category: {row.categories[0]}, language: {row.languages[0]}; or name the levels by hand",
            )
        )
    return found


def _without_upsampled(sources: Sequence[SourceConfig], shares: Mapping[str, Mapping[str, float]]) -> list[Problem]:
    """Find out whether there is any text of the categories that one of the mixes has more of."""
    up = printed_mixes().upsampled
    if any(shares[up.row].get(source.name) for source in sources if source.category in up.categories):
        return []
    names = " or ".join(up.categories)
    fix = f"add a source with category: {up.categories[0]} to the row; or name the levels by hand"
    return [Problem(f"row {up.row!r}", f"{up.mix} has more of its {names}, and no source of it is {names}", fix)]


def _shares(row: PrintedRowOfMix, sources: Sequence[SourceConfig], problems: list[Problem]) -> dict[str, float]:
    """Return what part of a row each of its sources has; what is missing for that is added to `problems`."""
    own = {number: source for number, source in enumerate(sources) if row.holds(source.category, source.language)}
    sizes = {source.name: float(source.available_tokens or 0) for source in own.values()}
    if all(source.available_tokens is not None for source in own.values()) and any(sizes.values()):
        return _as_shares(sizes)
    for number, source in own.items():
        if source.weight is None:
            problems.append(
                Problem(
                    f"sources[{number}].available_tokens",
                    f"{source.name!r} has neither size nor weight; row {row.name!r} is shared by sizes or weights",
                    "give all sources of the row available_tokens, or give each of them a weight",
                )
            )
    weights = {source.name: source.weight or 0.0 for source in own.values()}
    if not any(weights.values()) and all(source.weight is not None for source in own.values()):
        problems.append(Problem(f"row {row.name!r}", "all its sources have weight 0", "give one of them a weight"))
    return _as_shares(weights)


def _within_row(
    mix: str, row: str, weight: float, shares: Mapping[str, float], sources: Sequence[SourceConfig]
) -> dict[str, float]:
    """Return the weight of each source of a row in a mix, before they are made to add up to 1 over all rows."""
    table = printed_mixes()
    if (mix, row) != (table.upsampled.mix, table.upsampled.row):
        return {name: weight * share for name, share in shares.items()}
    more = {source.name for source in sources if source.category in table.upsampled.categories} & shares.keys()
    before = table.weights_of(table.mixes[0])[row]
    rest = {name: before * share for name, share in shares.items() if name not in more}
    of_more = math.fsum(shares[name] for name in more)
    left = weight - math.fsum(rest.values())
    return {name: rest[name] if name in rest else left * share / of_more for name, share in shares.items()}
