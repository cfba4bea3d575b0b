"""A task's score at one moment of training, as one compact JSON value, and its items beside it once and for all."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evals.choices.item import Item
from pellucid.evals.choices.score import METRICS, Scored, figures_of, score_items
from pellucid.evals.choices.tasks import LoadedTask
from pellucid.evals.results import prompt_digest
from pellucid.evals.subject import Subject

__all__ = ["items_digest", "measure", "tasks_to_json"]

_DECIMALS = 5  # of nats: figures are made of what is written, so a reader finds the same


def measure(subject: Subject, tasks: Sequence[LoadedTask]) -> dict[str, dict[str, Any]]:
    """Return each task's score: its figures, the digest of its items, and of each item the nats of its choices.

    `greedy` (closing words only) says whether the model would say the right continuation itself. Raises what the subject raises.
    """
    return {task.name: _measured(subject, task) for task in tasks}


def _measured(subject: Subject, task: LoadedTask) -> dict[str, Any]:
    scored = [_rounded(one) for one in score_items(subject, task.items)]
    result: dict[str, Any] = {
        "digest": items_digest(task.items),
        "items": len(task.items),
        "metrics": _means(task.items, scored),
        "tokens": sum(sum(one.tokens) for one in scored),
        "cut_items": sum(one.dropped_tokens > 0 for one in scored),
        "nats": [list(one.nats) for one in scored],
    }
    if any(item.kind == "closing" for item in task.items):
        result["greedy"] = [int(one.greedy) for one in scored]
    return result


def _rounded(one: Scored) -> Scored:
    return Scored(tuple(round(nats, _DECIMALS) for nats in one.nats), one.tokens, one.greedy, one.dropped_tokens)


def _means(items: Sequence[Item], scored: Sequence[Scored]) -> dict[str, float]:
    sums: dict[str, tuple[float, float]] = {}
    for item, one in zip(items, scored, strict=True):
        figures = figures_of(item, one)
        ratios = figures.ratios | {name: (value, 1.0) for name, value in figures.scores.items()}
        for name in METRICS[item.kind]:
            top, bottom = sums.get(name, (0.0, 0.0))
            sums[name] = top + ratios[name][0], bottom + ratios[name][1]
    return {name: top / bottom for name, (top, bottom) in sums.items()}


def items_digest(items: Sequence[Item]) -> str:
    """Return 16 hex digits of the items, their prompts, choices and labels."""
    return prompt_digest(*(f"{item.id}:{item.label}:{item.prompt}" for item in items))


def tasks_to_json(tasks: Sequence[LoadedTask]) -> Mapping[str, Any]:
    """Return JSON values with everything that was asked, and where it comes from."""
    return {
        task.name: {
            "origin": dict(task.origin),
            "digest": items_digest(task.items),
            "items": [item.to_json() for item in task.items],
        }
        for task in tasks
    }
