"""Items that one model has right and the other wrong: a few of them, to be read."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.seeds import derive_seed
from pellucid.evals.paired import column_of, shown_alike
from pellucid.evals.results import Record
from pellucid.evals.stored import StoredResult

__all__ = ["EXAMPLES", "disagreements"]

EXAMPLES = 3
_CHARS = 600


def disagreements(
    rows: Sequence[Mapping[str, Any]], results: Sequence[StoredResult | None], baseline: int, seed: int
) -> list[dict[str, Any]]:
    """Return for each model and task with scores of 0 and 1 a few items that it alone has right, and that the baseline alone has.

    Up to three of each (`better`, `worse`), drawn by the seed: item, group, text where its record has one, and the details of both.
    """
    found = []
    against = results[baseline]
    for row in rows:
        task, metric = row["task"], row["metric"]
        for number, result in enumerate(results):
            test = row["tests"][number]
            if result is None or against is None or test is None or test["only_a"] is None:
                continue
            mine, theirs = result.records[task], against.records[task]
            drawn: dict[str, list[dict[str, Any]]] = {"better": [], "worse": []}
            chosen = sorted(mine.keys() & theirs.keys())
            random.Random(derive_seed(seed, task, number)).shuffle(chosen)
            for item in chosen:
                one, two = column_of(mine[item], metric), column_of(theirs[item], metric)
                if one is None or two is None or one[0] == two[0] or not shown_alike(mine[item], theirs[item]):
                    continue
                side = drawn["better" if one[0] > two[0] else "worse"]
                if len(side) < EXAMPLES:
                    side.append(_example(mine[item], theirs[item]))
            found.append({"task": task, "metric": metric, "model": number, **drawn})
    return [one for one in found if one["better"] or one["worse"]]


def _example(mine: Record, theirs: Record) -> dict[str, Any]:
    return {
        "item": mine.item,
        "group": mine.group,
        "text": _short(mine.text or theirs.text),
        "mine": _said(mine),
        "theirs": _said(theirs),
    }


def _said(record: Record) -> dict[str, Any]:
    return {name: _short(value) for name, value in record.details.items()}


def _short(value: Any) -> Any:
    """Return a value with long texts cut and long numbers rounded, for people to read."""
    if isinstance(value, str):
        return value if len(value) <= _CHARS else f"{value[:_CHARS]}…"
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Mapping):
        return {str(name): _short(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_short(inner) for inner in value]
    return value
