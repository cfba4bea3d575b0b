"""Ratings of the answers by a judge, from 1 to 10, each answer to a needle rated once. They are records of a task of their own.

So a judge that dies takes no answer with it, and answers that are there already can be rated later.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.judging import Rule, Verdict, ask_judge, spent
from pellucid.evals.needle.needles import Needle
from pellucid.evals.needle.prompts import judge_conversation, rating
from pellucid.evals.results import Record, Records
from pellucid.evals.subject import Setting
from pellucid.recipe.suites import NeedleConfig

__all__ = ["JUDGED", "judge_answers", "judge_facts"]

JUDGED = "needle_judge"
_AT_ONCE = 32


def judge_answers(setting: Setting, config: NeedleConfig, answered: Sequence[Record], records: Records) -> None:
    """Add a record with the score `judge` for each answer that has none; one without scores where no attempt gave a rating."""
    if setting.judge is None:
        return
    same: dict[tuple[str, str], list[Record]] = {}
    for record in answered:
        if not records.has(JUDGED, record.item):
            same.setdefault((record.details["needle"], record.details["answer"].strip()), []).append(record)
    groups = list(same.values())
    with progress("needle: ratings", total=len(groups), unit="ratings") as bar:
        step = at_once(setting.judge, _AT_ONCE)
        rule = Rule(rating, config.judge_attempts, config.judge_tokens)
        for begin in range(0, len(groups), step):
            chunk = groups[begin : begin + step]
            asked = [judge_conversation(_needle(group[0]), group[0].details["answer"]) for group in chunk]
            seeds = [derive_seed(setting.seed, "needle judge", *key) for key in list(same)[begin : begin + step]]
            verdicts = ask_judge(setting.judge, asked, rule, seeds, bar.advance)
            for group, verdict in zip(chunk, verdicts, strict=True):
                for record in group:
                    records.add(_record(record, verdict, group[0].item))


def _needle(record: Record) -> Needle:
    return Needle(record.details["needle"], record.details["question"], tuple(record.details["facts"]))


def _record(answered: Record, verdict: Verdict, first: str) -> Record:
    """Return the record of a rating, by the prompt that was answered; tokens count for the first of the items that share it."""
    is_first = answered.item == first
    return Record(
        task=JUDGED,
        item=answered.item,
        scores={} if verdict.value is None else {"judge": verdict.value},
        prompt=answered.prompt,
        group=answered.group,
        text=answered.text,
        details={
            "words": verdict.words,
            "asked": verdict.asked,
            "prompt_tokens": verdict.prompt_tokens if is_first else 0,
            "new_tokens": verdict.new_tokens if is_first else 0,
            "unjudged": verdict.unjudged,
            **({} if is_first else {"same_as": first}),
        },
    )


def judge_facts(setting: Setting, answered: Sequence[Record], judged: Sequence[Record]) -> dict[str, Any] | None:
    """Return which judge it was, what was left without a rating, and what it used; None without a judge."""
    if setting.judge is None:
        return None
    asked = [record.details for record in judged if "same_as" not in record.details]
    return {
        "label": setting.judge.label,
        "identity": dict(setting.judge.identity),
        "unjudged": len(answered) - sum(bool(record.scores) for record in judged),
        "no_verdict": dict(Counter(one["unjudged"] for one in asked if one.get("unjudged") is not None)),
        **spent(setting.judge, asked),
    }
