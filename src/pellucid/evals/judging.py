"""Asking one model for its verdict on what another wrote. An answer without one is asked for again, and at last counted as none."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.subject import Answer, Decoding, Message, OnDone, Setting, Subject, nothing_done

__all__ = ["Parse", "Rule", "Verdict", "ask_judge", "need_judge", "rating_in", "spent", "spoken"]

Parse = Callable[[str, bool], float | None]
"""Reads a verdict out of a judge's words, None where there is none; of words that were cut only one at their very end counts."""

Unjudged = Literal["too long", "cut", "no verdict"]

_AGAIN_TEMPERATURE = 0.7  # greedy words would be the same nonsense again
_RATING = re.compile(r"\[\[(\d+(?:\.\d+)?)\]\]")
# "(1-10)", "(0–5)", "1 to 10": the limits of ratings.
_RANGE = re.compile(r"[(\[]\s*\d+\s*(?:-|–|to)\s*\d+\s*[)\]]|\b[01]\s*(?:-|–|to)\s*(?:5|10|100)\b")
# "Rating: 7", "**Rating:** 5/10", "Rating: [8]"; not the beginning of a longer number.
_RATING_BY_NAME = re.compile(r"rating\W{0,6}(\d{1,2}(?:\.\d+)?)(?![\d.]*\d)", re.IGNORECASE)
# What may follow a rating at the end of words that were cut. After a bare number something must, or it may have been a longer one.
_REST = re.compile(r"[\W_]*\Z")
_REST_BY_NAME = re.compile(r"(?:/10|\s|\*|\])[\W_]*\Z")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a judge is asked: who reads its verdict, how often it is asked for one, and how many tokens it may write each time."""

    parse: Parse
    attempts: int
    tokens: int = 2048  # as in Zheng et al.: an explanation, then the verdict


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said: `value` is None when none of the `asked` answers held a verdict; `words` are those of the last answer.

    `unjudged` says why there is none: the judge had no room for all that it was to read ("too long"), its last answer was cut, or
    held none. `prompt_tokens` and `new_tokens` are of all `asked` answers together.
    """

    value: float | None
    words: str
    asked: int
    prompt_tokens: int = 0
    new_tokens: int = 0
    unjudged: Unjudged | None = None


def ask_judge(
    judge: Subject,
    conversations: Sequence[Sequence[Message]],
    rule: Rule,
    seeds: Sequence[int],
    on_done: OnDone = nothing_done,
) -> list[Verdict]:
    """Return a verdict for each conversation, in their order: greedily first, then up to `attempts` − 1 times at temperature 0.7.

    `seeds` are one a conversation; each attempt derives its own. Only what holds no verdict is asked again, and not where the judge
    has no room for the conversation: it would judge what it has not read. Errors of the judge (dead, refusing) are raised as they
    are: ask in chunks and keep what came before.
    """
    verdicts: list[Verdict | None] = [None] * len(conversations)
    open_ = list(range(len(conversations)))
    for attempt in range(1, rule.attempts + 1):
        if not open_:
            break
        temperature = 0.0 if attempt == 1 else _AGAIN_TEMPERATURE
        answers = judge.chat(
            [conversations[at] for at in open_],
            Decoding(max_new_tokens=rule.tokens, temperature=temperature),
            [derive_seed(seeds[at], "judge", attempt) for at in open_],
        )
        undecided = []
        for at, answer in zip(open_, answers, strict=True):
            verdicts[at] = verdict = _verdict(answer, rule.parse, attempt, verdicts[at])
            if verdict.unjudged in ("cut", "no verdict") and attempt < rule.attempts:
                undecided.append(at)
        on_done(len(open_) - len(undecided))
        open_ = undecided
    return [verdict for verdict in verdicts if verdict is not None]


def _verdict(answer: Answer, parse: Parse, attempt: int, before: Verdict | None) -> Verdict:
    value: float | None = None
    unjudged: Unjudged | None = None
    if answer.dropped_tokens > 0 or answer.stopped_by == "context":
        unjudged = "too long"
    else:
        is_cut = answer.stopped_by != "stop"
        value = parse(answer.text, is_cut)
        if value is None:
            unjudged = "cut" if is_cut else "no verdict"
    prompt_tokens = answer.prompt_tokens + (before.prompt_tokens if before else 0)
    new_tokens = answer.new_tokens + (before.new_tokens if before else 0)
    return Verdict(value, answer.text, attempt, prompt_tokens, new_tokens, unjudged)


def spoken(words: str) -> str:
    """Return what comes after a judge has thought aloud, where it may weigh several verdicts; nothing while it still does."""
    after = words.rpartition("</think>")[2]
    return "" if "<think>" in after else after


def rating_in(words: str, is_cut: bool = False) -> list[float]:
    """Return the ratings in a judge's words, in their order, each once: those in double brackets, else those after "rating".

    What it thought aloud before, and ranges such as "(1-10)", are passed over. Of words that were cut only a rating at their very
    end counts: before it stands what the judge was still weighing.
    """
    words = _RANGE.sub(" ", spoken(words))
    found, rest = list(_RATING.finditer(words)), _REST
    if not found:
        found, rest = list(_RATING_BY_NAME.finditer(words)), _REST_BY_NAME
    if is_cut:
        found = [one for one in found[-1:] if rest.match(words, one.end())]
    return list(dict.fromkeys(float(one[1]) for one in reversed(found)))[::-1]


def need_judge(setting: Setting, suite: str) -> Subject:
    """Return the judge of a call. Raises `UsageError` saying how to name one."""
    if setting.judge is None:
        raise UsageError(
            f"{suite}: no judge; answers are graded by a model behind an OpenAI-compatible endpoint: give --judge URL "
            "(for example --judge http://127.0.0.1:8080)"
        )
    return setting.judge


def spent(subject: Subject, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the answers of `parts` (`prompt_tokens`, `new_tokens`) used, and cost by the subject's prices.

    `cost_usd` is None where it has none, or where it did not tell the tokens of an answer. Counted from the answers that are
    stored, so that a result that was resumed holds those of all its runs; answers lost with a call that failed are in none of them.
    """
    read, new, is_known = 0, 0, True
    for part in parts:
        read, new = read + part["prompt_tokens"], new + part["new_tokens"]
        is_refused = part.get("unjudged") == "too long" or part.get("stopped_by") == "context"
        is_known = is_known and (part["prompt_tokens"] > 0 or is_refused)
    prices: Mapping[str, float] | None = subject.identity.get("usd_per_million_tokens")
    cost = (read * prices["prompt"] + new * prices["new"]) / 1e6 if prices and is_known else None
    return {"prompt_tokens": read, "new_tokens": new, "cost_usd": cost}
