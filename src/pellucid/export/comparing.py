"""Two runtimes of one model, asked the same: ids, next-token distributions, perplexity, and answers to questions."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import DataError
from pellucid.core.progress import ProgressBar
from pellucid.export.known_readings import KnownReading
from pellucid.export.probes import Probe, Question
from pellucid.export.runtimes.runtime import Runtime

__all__ = ["compare_answers", "compare_conversations", "compare_distributions", "compare_strings", "kl_divergences", "windows_of"]

# Of two tables of float64 log-probabilities: 2 x 256 MiB.
_TABLE_VALUES = 2**25
# Beyond it a perplexity is no float64 any more.
_LARGEST_NATS = 700.0
_SHOWN_CHARS = 60
_SHOWN_IDS = 12


def compare_strings(
    exported: Runtime, reference: Runtime, strings: Sequence[str], known: KnownReading | None = None
) -> dict[str, Any]:
    """Return how many strings get equal ids, and the first that does not: JSON values.

    `known_otherwise` counts those whose other ids are what the program is `known` to give.
    """
    return _compared(((text, text, exported.encode(text), reference.encode(text)) for text in strings), known)


def compare_conversations(exported: Runtime, reference: Runtime, probe: Probe, known: KnownReading | None = None) -> dict[str, Any]:
    """Return how many conversations get equal ids up to the assistant's turn, as `compare_strings`.

    Those that training's template refuses do not count, but as `left_out`. `has_template` tells whether the export brings one at
    all, `refused` how many of the compared ones its template refuses.
    """
    refused = left_out = 0
    has_template = True

    def rendered() -> Iterator[tuple[str, str, list[int], list[int]]]:
        nonlocal has_template, refused, left_out
        for messages in probe.conversations:
            try:
                ours = reference.encode_chat(messages)
            except DataError:
                left_out += 1
                continue
            if ours is None:
                return
            try:
                theirs = exported.encode_chat(messages)
            except DataError:
                theirs, refused = [], refused + 1
            has_template &= theirs is not None
            shown = " / ".join(f"{message['role']}: {message['content'][:20]}" for message in messages)
            contents = "\n".join(message["content"] for message in messages)
            yield shown, contents, theirs or [], ours

    found = _compared(rendered(), known)
    return {"has_template": has_template, "left_out": left_out, "refused": refused, **found}


def _compared(cases: Iterator[tuple[str, str, list[int], list[int]]], known: KnownReading | None) -> dict[str, Any]:
    compared = equal = otherwise = 0
    first: dict[str, Any] | None = None
    for shown, text, theirs, ours in cases:
        compared += 1
        if list(theirs) == list(ours):
            equal += 1
        elif known is not None and known(text, ours, theirs):
            otherwise += 1
        elif first is None:
            at = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
            part = slice(at, at + _SHOWN_IDS)
            first = {"text": shown[:_SHOWN_CHARS], "at": at, "export": list(theirs)[part], "checkpoint": list(ours)[part]}
    return {"compared": compared, "equal": equal, "known_otherwise": otherwise, "first_difference": first}


def windows_of(reference: Runtime, probe: Probe, context_tokens: int, vocab_tokens: int) -> list[list[int]]:
    """Return token windows of the documents, each document begun with the end of text, at most `probe.tokens` in all.

    The first windows of all documents come first, then their second ones, so that a small budget still reads every document.
    """
    length = max(2, min(probe.window_tokens, context_tokens - 1, max(32, _TABLE_VALUES // vocab_tokens)))
    first = [] if reference.eos_id is None else [reference.eos_id]
    cut = []
    for document in probe.documents:
        ids = [*first, *reference.encode(document)]
        cut.append([ids[start : start + length] for start in range(0, len(ids), length)])
    kept: list[list[int]] = []
    room = probe.tokens
    for turn in range(max(map(len, cut), default=0)):
        for windows in cut:
            if turn < len(windows) and room >= 2 and len(windows[turn]) >= 2:
                kept.append(windows[turn][:room])
                room -= len(kept[-1])
    return kept


def compare_distributions(
    exported: Runtime, reference: Runtime, windows: Sequence[Sequence[int]], bar: ProgressBar
) -> dict[str, Any]:
    """Return divergence of all next-token distributions, and both perplexities on the same tokens: JSON values, nats.

    KL(checkpoint || export) after each token; a percentile is that of the positions. `logit_reach` is half the widest span of
    log-probabilities at one position, about the largest logit.
    """
    divergences: list[float] = []
    differences: list[float] = []
    same = tokens = 0
    nats = np.zeros(2)
    reach = 0.0
    for ids in windows:
        ours_TV = reference.log_probabilities(ids)
        theirs_TV = exported.log_probabilities(ids)
        width = min(ours_TV.shape[1], theirs_TV.shape[1])
        ours_TV, theirs_TV = ours_TV[:, :width], theirs_TV[:, :width]
        kl_T, largest_T = kl_divergences(ours_TV, theirs_TV)
        divergences += kl_T.tolist()
        differences += largest_T.tolist()
        same += int((ours_TV.argmax(1) == theirs_TV.argmax(1)).sum())
        reach = max(reach, float((ours_TV.max(1) - ours_TV.min(1)).max()) / 2)
        before, after = np.arange(len(ids) - 1), np.asarray(ids[1:])
        nats -= (ours_TV[before, after].sum(), theirs_TV[before, after].sum())
        tokens += len(after)
        bar.advance(len(ids))
    kl = np.array(divergences)
    ours, theirs = (float(one / tokens) for one in nats)
    return {
        "positions": len(kl),
        "kl_nats": {
            "mean": float(kl.mean()),
            "median": float(np.median(kl)),
            "p99": float(np.percentile(kl, 99)),
            "max": float(kl.max()),
        },
        "same_top_token_frac": same / len(kl),
        "largest_log_probability_difference": float(np.max(differences)),
        "logit_reach": reach,
        "perplexity": {
            "tokens": tokens,
            "checkpoint": _exp(ours),
            "export": _exp(theirs),
            "ratio": _exp(theirs - ours),
        },
    }


def _exp(nats: float) -> float:
    return nats if math.isnan(nats) else math.exp(min(nats, _LARGEST_NATS))


def kl_divergences(
    ours_TV: npt.NDArray[np.float64], theirs_TV: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return KL(ours || theirs) in nats and the largest difference, by row of two tables of log-probabilities: [T] and [T].

    The divergence is that of both scaled to add up to one: some runtimes round to float32, and below 1e-7 that rounding would be
    all one sees. For p of sum P and q of sum Q it is (sum of p log(p/q)) / P - log P + log Q.
    """
    kl_T, largest_T = np.empty(len(ours_TV)), np.empty(len(ours_TV))
    for row, (ours_V, theirs_V) in enumerate(zip(ours_TV, theirs_TV, strict=True)):  # a row at a time: the tables are large
        difference_V, p_V = ours_V - theirs_V, np.exp(ours_V)
        total, other = p_V.sum(), np.exp(theirs_V).sum()
        kl_T[row] = p_V @ difference_V / total - np.log(total) + np.log(other)
        largest_T[row] = np.abs(difference_V).max()
    return np.maximum(kl_T, 0.0), largest_T  # what is no number stays so


def compare_answers(exported: Runtime, reference: Runtime, questions: Sequence[Question], context_tokens: int) -> dict[str, Any]:
    """Return both models' accuracies on questions, how often they choose alike, and the right answers' difference in bits.

    A choice is scored by the log-likelihood of its continuation, as in `evals.choices`; both read the checkpoint's ids.
    `bits` are log2 of the right continuation's likelihood in the export, less that in the checkpoint: mean and mean size.
    """
    right = np.zeros(2, dtype=int)
    alike, bits = 0, []
    for question in questions:
        pairs = [_pair_ids(reference, pair, context_tokens) for pair in question.pairs]
        scores = np.array([[_score(runtime, *pair) for pair in pairs] for runtime in (reference, exported)])
        chosen = scores.argmax(1)
        right += chosen == question.label
        alike += int(chosen[0] == chosen[1])
        bits.append((scores[1] - scores[0])[question.label] / math.log(2))
    count = len(questions)
    return {
        "questions": count,
        "checkpoint_accuracy": int(right[0]) / count,
        "export_accuracy": int(right[1]) / count,
        "same_choice_frac": alike / count,
        "bits": {"mean": float(np.mean(bits)), "mean_size": float(np.mean(np.abs(bits)))},
    }


def _pair_ids(reference: Runtime, pair: tuple[str, str], context_tokens: int) -> tuple[list[int], int]:
    """Return the ids of context and continuation, encoded as one text, and how many are the continuation's."""
    context, continuation = pair
    first = [] if reference.eos_id is None else [reference.eos_id]
    blanks = len(context) - len(context.rstrip())
    whole = [*first, *reference.encode(context + continuation)]
    before = len(first) + len(reference.encode(context[: len(context) - blanks]))
    targets = max(1, len(whole) - before)
    whole = whole[-context_tokens:]
    return whole, min(targets, len(whole) - 1)


def _score(runtime: Runtime, ids: list[int], targets: int) -> float:
    found_TV = runtime.log_probabilities(ids[:-1])
    places = np.arange(len(ids) - 1 - targets, len(ids) - 1)
    return float(found_TV[places, ids[-targets:]].sum())
