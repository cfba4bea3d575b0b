"""How stable a way of asking is over training: does its score rank checkpoints in the order in which they were trained?

Kendall's tau between positions (tokens read) and scores says so (arXiv 2503.00812 proposes it): 1 where each later checkpoint
scores higher, 0 where the score knows nothing of the order. An interval comes from resampling items, the same for all
checkpoints, as they answered the same items. That training makes a model better at what is asked, all the way, is the assumption
behind it.
A resample is noisier than the sample, so the interval of a tau near 1 lies mostly below it; two ways are told apart by `compare`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.results import Record
from pellucid.evals.statistics import kendall_tau
from pellucid.evals.stored import StoredResult

__all__ = ["Moment", "compare", "stability", "stability_of_results"]

Floats = npt.NDArray[np.float64]

_PLAIN = ("letter", "plain")
_HALVES = 200
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """A checkpoint: where it stands in training (tokens read, or any number that grows), and its records of a suite."""

    position: float
    records: Sequence[Record]


def stability(moments: Sequence[Moment], metric: str = "acc", seed: int = 1) -> dict[str, dict[str, Any]]:
    """Return a row for each task of which every moment has items with this metric.

    `tau` with `low` and `high` (95 %, 1000 resamples of items), `scores` by moment, `rises`: the share of neighbouring moments of
    which the later scores higher (a tie counts half), `split_half`: the mean tau between the rankings by two halves of the items,
    over 200 random halvings: what a ranking by half as many items is worth. A score that is the same for all moments ranks
    nothing: its tau is 0. `form_stdev` is the standard deviation of the score over forms, mean over moments; None with one form.
    Raises `UsageError` for fewer than three moments, or two at one position.
    """
    positions_C = _positions(moments)
    rows = {}
    for task in sorted({record.task for record in moments[0].records}):
        items, scores_CN = _matrix(moments, task, metric)
        if not items:
            continue
        means_C = scores_CN.mean(axis=1)
        drawn_R = _resampled_taus(positions_C, scores_CN, derive_seed(seed, "stability", "items", len(items)))
        low, high = np.quantile(drawn_R, [0.025, 0.975])
        steps = np.sign(np.round(np.diff(means_C), 12))
        rows[task] = {
            "tau": kendall_tau(positions_C, np.round(means_C, 12)) or 0.0,
            "low": float(low),
            "high": float(high),
            "items": len(items),
            "scores": means_C.tolist(),
            "rises": float((steps + 1).mean() / 2),
            "split_half": _split_half(scores_CN, derive_seed(seed, "stability", "halves", task)),
            "form_stdev": _form_stdev(moments, task),
        }
    return rows


def compare(moments: Sequence[Moment], plain: str, other: str, metric: str = "acc", seed: int = 1) -> dict[str, Any]:
    """Return by how much tau of task `other` exceeds that of task `plain`, over the items that both have, resampled together.

    `verdict` is "more stable" or "less stable" where the 95 % interval leaves 0 out, else "no difference shown". Raises
    `UsageError` where the tasks share no items.
    """
    positions_C = _positions(moments)
    (items_a, a_CN), (items_b, b_CN) = (_matrix(moments, task, metric) for task in (plain, other))
    both = sorted(set(items_a) & set(items_b))
    if not both:
        raise UsageError(f"{plain} and {other} share no items with the metric {metric}: score both in one call")
    a_CN, b_CN = a_CN[:, [items_a.index(item) for item in both]], b_CN[:, [items_b.index(item) for item in both]]
    drawing = derive_seed(seed, "stability", "items", len(both))
    taus = [kendall_tau(positions_C, np.round(x_CN.mean(axis=1), 12)) or 0.0 for x_CN in (a_CN, b_CN)]
    difference_R = _resampled_taus(positions_C, b_CN, drawing) - _resampled_taus(positions_C, a_CN, drawing)
    low, high = (float(x) for x in np.quantile(difference_R, [0.025, 0.975]))
    verdict = "more stable" if low > 0 else "less stable" if high < 0 else "no difference shown"
    return {"plain": plain, "other": other, "difference": taus[1] - taus[0], "low": low, "high": high, "verdict": verdict}


def stability_of_results(results: Sequence[StoredResult], metric: str = "acc", seed: int = 1) -> dict[str, Any]:
    """Return how stable each way of asking is over the checkpoints that the results are of, by their step.

    `subjects` and `steps` name the checkpoints in their order, `tasks` is the table of `stability`, and `against_plain` holds, by
    task and then by way of asking, what `compare` says of it against the plain way: `letter` of multiple choice, `plain` of open
    questions. Results of other suites are passed over. Raises `UsageError` where a result of the suite is of no checkpoint, is not
    complete, or is of another run than the others, for two of one step, and for fewer than three.
    """
    found = [result for result in results if result.suite == "bose"]
    for result in found:
        if not isinstance(result.raw["subject"].get("step"), int):
            raise UsageError(f"{result.folder} is of {result.label}, which has no step: a ranking over training is of checkpoints")
        if not result.complete:
            raise UsageError(f"{result.folder} is not complete; give the command that made it again to finish it")
    runs = sorted({str(result.raw["subject"].get("run")) for result in found})
    if len(runs) > 1:
        raise UsageError(
            f"the results are of several runs ({', '.join(runs)}); a ranking over training is of the checkpoints of one"
        )
    found.sort(key=lambda result: int(result.raw["subject"]["step"]))
    steps = [int(result.raw["subject"]["step"]) for result in found]
    moments = [
        Moment(float(step), [record for task in result.records.values() for record in task.values()])
        for step, result in zip(steps, found, strict=True)
    ]
    table = stability(moments, metric, seed)
    against: dict[str, dict[str, Any]] = {}
    for task in table:
        name, _, way = task.rpartition(":")
        plain = next((f"{name}:{one}" for one in _PLAIN if f"{name}:{one}" in table), None)
        if plain is not None and plain != task:
            against.setdefault(name, {})[way] = compare(moments, plain, task, metric, seed)
    return {"subjects": [result.label for result in found], "steps": steps, "tasks": table, "against_plain": against}


def _positions(moments: Sequence[Moment]) -> Floats:
    positions_C = np.array([moment.position for moment in moments], dtype=np.float64)
    if len(positions_C) < 3:
        raise UsageError(f"{len(positions_C)} checkpoints make no ranking to speak of; give three or more")
    if len(set(positions_C.tolist())) < len(positions_C) or (np.diff(positions_C) < 0).any():
        raise UsageError(
            f"checkpoints must be given in the order of training, each at its own position; got {positions_C.tolist()}"
        )
    return positions_C


def _matrix(moments: Sequence[Moment], task: str, metric: str) -> tuple[list[str], Floats]:
    """Return the items of a task that every moment has, and their scores."""
    tables: list[Mapping[str, float]] = [
        {record.item: record.scores[metric] for record in moment.records if record.task == task and metric in record.scores}
        for moment in moments
    ]
    items = sorted(set(tables[0]).intersection(*tables[1:]))
    return items, np.array([[table[item] for item in items] for table in tables], dtype=np.float64)


def _resampled_taus(positions_C: Floats, scores_CN: Floats, seed: int) -> Floats:
    """Return tau-b for each resample of the items, [R]; 0 where a resample ranks nothing."""
    count = scores_CN.shape[1]
    counts_RN = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    means_RC = np.round(counts_RN @ scores_CN.T / count, 12)
    earlier, later = np.triu_indices(len(positions_C), 1)
    signs_RP = np.sign(means_RC[:, later] - means_RC[:, earlier])
    untied_R = (signs_RP != 0).sum(axis=1)
    taus_R: Floats = signs_RP.sum(axis=1) / np.sqrt(np.maximum(untied_R, 1) * len(earlier))
    return taus_R


def _split_half(scores_CN: Floats, seed: int) -> float | None:
    count = scores_CN.shape[1]
    if count < 2:
        return None
    generator = np.random.default_rng(seed)
    taus = []
    for _ in range(_HALVES):
        order = generator.permutation(count)
        halves = (np.round(scores_CN[:, half].mean(axis=1), 12) for half in (order[: count // 2], order[count // 2 :]))
        taus.append(kendall_tau(*halves) or 0.0)
    return float(np.mean(taus))


def _form_stdev(moments: Sequence[Moment], task: str) -> float | None:
    found = []
    for moment in moments:
        rows = [
            record.details["right_by_form"]
            for record in moment.records
            if record.task == task and "right_by_form" in record.details
        ]
        if not rows or len(rows[0]) < 2:
            return None
        found.append(np.array(rows).mean(axis=0).std(ddof=1))
    return float(np.mean(found))
