"""Asking one model for its verdict on what another wrote. An answer without one is asked for again, and at last counted as none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.subject import Decoding, Message, OnDone, Setting, Subject, nothing_done

__all__ = ["Parse", "Verdict", "ask_judge", "need_judge", "spent"]

Parse = Callable[[str], float | None]
"""Reads a verdict out of a judge's words; None where there is none."""

_WORDS_TOKENS = 2048  # as in Zheng et al.: an explanation, then the verdict
_AGAIN_TEMPERATURE = 0.7  # greedy words would be the same nonsense again


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said: `value` is None when none of the `asked` answers held a verdict; `words` are those of the last answer.

    `prompt_tokens` and `new_tokens` are of all `asked` answers together.
    """

    value: float | None
    words: str
    asked: int
    prompt_tokens: int = 0
    new_tokens: int = 0


def ask_judge(
    judge: Subject,
    conversations: Sequence[Sequence[Message]],
    parse: Parse,
    attempts: int,
    seeds: Sequence[int],
    on_done: OnDone = nothing_done,
) -> list[Verdict]:
    """Return a verdict for each conversation, in their order: greedily first, then up to `attempts` − 1 times at temperature 0.7.

    `seeds` are one a conversation; each attempt derives its own. Only what holds no verdict is asked again. Errors of the judge
    (dead, refusing) are raised as they are: ask in chunks and keep what came before.
    """
    verdicts: list[Verdict | None] = [None] * len(conversations)
    open_ = list(range(len(conversations)))
    for attempt in range(1, attempts + 1):
        if not open_:
            break
        temperature = 0.0 if attempt == 1 else _AGAIN_TEMPERATURE
        answers = judge.chat(
            [conversations[at] for at in open_],
            Decoding(max_new_tokens=_WORDS_TOKENS, temperature=temperature),
            [derive_seed(seeds[at], "judge", attempt) for at in open_],
        )
        undecided = []
        for at, answer in zip(open_, answers, strict=True):
            value, before = parse(answer.text), verdicts[at]
            prompt_tokens = answer.prompt_tokens + (before.prompt_tokens if before else 0)
            new_tokens = answer.new_tokens + (before.new_tokens if before else 0)
            verdicts[at] = Verdict(value, answer.text, attempt, prompt_tokens, new_tokens)
            if value is None and attempt < attempts:
                undecided.append(at)
        on_done(len(open_) - len(undecided))
        open_ = undecided
    return [verdict for verdict in verdicts if verdict is not None]


def need_judge(setting: Setting, suite: str) -> Subject:
    """Return the judge of a call. Raises `UsageError` saying how to name one."""
    if setting.judge is None:
        raise UsageError(
            f"{suite}: no judge; answers are graded by a model behind an OpenAI-compatible endpoint: give --judge URL "
            "(for example --judge http://127.0.0.1:8080)"
        )
    return setting.judge


def spent(subject: Subject, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
    """Return what these tokens are and cost, `cost_usd` None where the subject has no prices.

    Counted from what is stored, so that a result that was resumed holds what all of its runs used.
    """
    prices: Mapping[str, float] | None = subject.identity.get("usd_per_million_tokens")
    cost = (prompt_tokens * prices["prompt"] + new_tokens * prices["new"]) / 1e6 if prices else None
    return {"prompt_tokens": prompt_tokens, "new_tokens": new_tokens, "cost_usd": cost}
