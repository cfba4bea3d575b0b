"""Checkpoints of one run beside each other: which way of asking ranks them in the order of training."""

from collections.abc import Iterable, Mapping
from typing import Any

from pellucid.cli.output import print_table, print_text
from pellucid.evals.bose.stability import stability_of_results
from pellucid.evals.stored import StoredResult

__all__ = ["print_stability", "stability_over_training"]

_FEWEST = 3


def stability_over_training(opened: Iterable[StoredResult], seed: int) -> dict[str, Any] | None:
    """Return what `stability_of_results` makes of the suite bose; None without three whole results of one stage's steps."""
    results = [result for result in opened if result.suite == "bose" and result.complete]
    subjects = [result.raw["subject"] for result in results]
    steps = {subject.get("step") for subject in subjects}
    stages = {(subject.get("run"), str(subject.get("path")).partition("/")[0]) for subject in subjects}
    if len(steps) < _FEWEST or len(steps) < len(results) or None in steps or len(stages) > 1:
        return None
    return stability_of_results(results, seed=seed)


def print_stability(found: Mapping[str, Any]) -> None:
    """Print Kendall's tau of every way of asking, and how it differs from the plain way's."""
    rows = []
    for task, row in found["tasks"].items():
        name, _, way = task.rpartition(":")
        against = found["against_plain"].get(name, {}).get(way)
        difference = "" if against is None else f"{against['difference']:+z.2f} ({against['low']:+z.2f} to {against['high']:+z.2f})"
        interval, verdict = f"{row['low']:z.2f} to {row['high']:z.2f}", "" if against is None else against["verdict"]
        rows.append((task, row["items"], f"{row['tau']:z.2f}", interval, f"{row['split_half']:z.2f}", difference, verdict))
    steps = ", ".join(map(str, found["steps"]))
    print_text(f"\n\nKendall's tau of the scores with the order of training (steps {steps}); higher is more stable\n")
    columns = ("way of asking", "items", "tau", "95 %", "split half", "against plain", "")
    print_table(columns, rows, right=(1, 2, 4))
