"""Items scored by log-likelihood, and the figures that are made of the nats."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pellucid.evals.choices.item import Item, Kind
from pellucid.evals.results import Record
from pellucid.evals.subject import Likelihood, OnDone, Subject, nothing_done

__all__ = ["HIGHER_IS_BETTER", "METRICS", "Figures", "Scored", "figures_of", "perplexity", "record_of", "score_items"]

HIGHER_IS_BETTER: Mapping[str, bool] = {
    "acc": True,
    "acc_norm": True,
    "acc_bytes": True,
    "mass": True,
    "nats": False,
    "bits_per_byte": False,
    "nats_per_token": False,
}
"""Every figure by name, and which way is up."""

METRICS: Mapping[Kind, tuple[str, ...]] = {
    "choice": ("acc", "acc_norm", "acc_bytes", "mass", "bits_per_byte"),
    "closing": ("acc", "nats", "bits_per_byte"),
    "text": ("bits_per_byte",),
}
"""The figures of each kind of item that do not depend on the tokenizer's cut."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model made of an item: nats and tokens of each choice; whether the right one is what it would say itself."""

    nats: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: bool
    dropped_tokens: int = 0


class Figures(NamedTuple):
    """`scores` are averaged over items, `ratios` are (numerator, denominator) and summed first; see `results.Record`."""

    scores: dict[str, float]
    ratios: dict[str, tuple[float, float]]


def score_items(subject: Subject, items: Sequence[Item], on_done: OnDone = nothing_done) -> list[Scored]:
    """Return what the subject makes of each item, in their order; `on_done` is told how many more continuations are scored.

    Choices of one item lie side by side, so a model may read their context once. An item longer than the model's context loses the
    beginning of its context, and says so; a text is read in windows. Raises what the subject raises.
    """
    pairs = [pair for item in items if item.kind != "text" for pair in item.pairs]
    texts = [item.pairs[0].continuation for item in items if item.kind == "text"]
    of_pairs = iter(subject.loglikelihoods(pairs, on_done) if pairs else ())
    of_texts = iter(subject.rolling(texts, on_done) if texts else ())
    return [_scored(item, [next(of_texts if item.kind == "text" else of_pairs) for _ in item.pairs]) for item in items]


def _scored(item: Item, likelihoods: Sequence[Likelihood]) -> Scored:
    return Scored(
        tuple(one.nats for one in likelihoods),
        tuple(one.tokens for one in likelihoods),
        likelihoods[item.label].greedy,
        max(one.dropped_tokens for one in likelihoods),
    )


def figures_of(item: Item, scored: Scored) -> Figures:
    """Return an item's figures.

    Choices: `acc`: the right one is the likeliest; `acc_norm`: by log-likelihood per character of the choice, as the harness'
    figure of this name, and `acc_bytes` per UTF-8 byte (they differ only beyond ASCII); the first wins a tie, as with the harness.
    `mass`: the right one's share of the probability of all choices, which moves while accuracies still stand still. Closing words:
    `acc`: every token is the model's first choice; `nats`. All kinds: `bits_per_byte` of the right continuation or text.
    """
    nats, tokens = scored.nats[item.label], scored.tokens[item.label]
    ratios = {"bits_per_byte": (nats / math.log(2), float(item.answer_bytes))}
    if item.kind == "choice":
        return Figures(_choice_scores(item, scored.nats), ratios)
    scores = {"acc": float(scored.greedy), "nats": nats} if item.kind == "closing" else {}
    return Figures(scores, {**ratios, "nats_per_token": (nats, float(tokens))})


def _choice_scores(item: Item, nats: Sequence[float]) -> dict[str, float]:
    by_length: dict[str, Callable[[int], float]] = {
        "acc": lambda n: nats[n],
        "acc_norm": lambda n: nats[n] / item.lengths[n][0],
        "acc_bytes": lambda n: nats[n] / item.lengths[n][1],
    }
    scores = {name: float(min(range(len(nats)), key=cost) == item.label) for name, cost in by_length.items()}
    least = min(nats)
    weights = [math.exp(least - one) for one in nats]
    return {**scores, "mass": weights[item.label] / sum(weights)}


def record_of(task: str, item: Item, scored: Scored) -> Record:
    """Return the record of a scored item, with the nats of each choice."""
    figures = figures_of(item, scored)
    details = {"nats": [round(one, 5) for one in scored.nats], "tokens": list(scored.tokens), "label": item.label}
    return Record(
        task,
        item.id,
        figures.scores,
        figures.ratios,
        prompt=item.prompt,
        group=item.group,
        dropped_tokens=scored.dropped_tokens,
        text=item.text,
        details=details,
    )


def perplexity(records: Sequence[Record]) -> dict[str, float]:
    """Return the perplexities of a task's records: by token, and for closing words by item, which is the harness' `perplexity`."""
    found: dict[str, float] = {}
    ratios = [record.ratios["nats_per_token"] for record in records if "nats_per_token" in record.ratios]
    if ratios and (tokens := sum(bottom for _, bottom in ratios)):
        found["token_perplexity"] = math.exp(sum(top for top, _ in ratios) / tokens)
    nats = [record.scores["nats"] for record in records if "nats" in record.scores]
    if nats:
        found["perplexity"] = math.exp(sum(nats) / len(nats))
    return found
