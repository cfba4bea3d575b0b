"""Scores of one item, from likelihoods and from what a model wrote."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.evals.reflection.plant import Planted
from pellucid.evals.reflection.prompts import CONDITIONS, Condition
from pellucid.evals.reflection.quantities import final_answer
from pellucid.evals.reflection.recognition import recognises
from pellucid.evals.results import Record
from pellucid.evals.statistics import paired_difference
from pellucid.evals.subject import Answer, Likelihood

__all__ = ["effects", "from_answer", "from_likelihoods"]


def from_likelihoods(right: Likelihood, wrong: Likelihood, condition: Condition) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the scores of one prompt, and details.

    `prefers_right` is 1 where the right way to go on is likelier than the one that carries the error on, ½ where both are equal.
    `margin_nats` is by how many nats, over the whole continuation.
    """
    margin = wrong.nats - right.nats
    scores = {"prefers_right": 0.5 + 0.5 * ((margin > 0) - (margin < 0)), "margin_nats": margin}
    details = {"right_nats": right.nats, "right_tokens": right.tokens, "wrong_nats": wrong.nats, "wrong_tokens": wrong.tokens}
    return _named(scores, condition), {f"{name}_{condition.name}": value for name, value in details.items()}


def from_answer(planted: Planted, answer: Answer, condition: Condition) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the scores of one prompt: is the final answer right, does it carry the error on, is an error spoken of?"""
    final = final_answer(answer.text)
    scores = {
        "final_right": float(final == planted.right_answer),
        "carried_on": float(final == planted.carried_answer),
        "speaks_of_error": float(recognises(answer.text)),
    }
    details = {"text": answer.text, "final": None if final is None else str(final), "stopped_by": answer.stopped_by}
    return _named(scores, condition), {f"{name}_{condition.name}": value for name, value in details.items()}


def _named(scores: Mapping[str, float], condition: Condition) -> dict[str, float]:
    return {f"{name}_{condition.name}": value for name, value in scores.items()}


def effects(records: Sequence[Record], seed: int) -> dict[str, Any]:
    """Return, for each score, what the trigger and what the error does to it, by paired differences over items.

    `trigger` is with minus without it after an error, `false_trigger` the same after the right step, `error` is the error minus the
    control, both without trigger.
    """
    names = {score.removesuffix(f"_{CONDITIONS[0].name}") for record in records for score in record.scores}
    compared = {
        "trigger": ("error_trigger", "error"),
        "false_trigger": ("right_trigger", "right"),
        "error": ("error", "right"),
    }
    found: dict[str, Any] = {}
    for name in sorted(names):
        for effect, (one, other) in compared.items():
            keys = (f"{name}_{one}", f"{name}_{other}")
            pairs = [[record.scores[key] for key in keys] for record in records if all(key in record.scores for key in keys)]
            if pairs:
                a_N, b_N = np.array(pairs, dtype=np.float64).T
                found.setdefault(name, {})[effect] = paired_difference(a_N, b_N, seed)
    return found
