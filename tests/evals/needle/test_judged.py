import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.needle.judged import JUDGED
from pellucid.evals.needle.run import TASK, run
from pellucid.evals.results import Record, Records, summarise
from pellucid.evals.subject import Answer, Decoding, Message, Setting, Usage
from pellucid.recipe.suites import NeedleConfig

SETTINGS: dict[str, Any] = {"lengths": (300, 600), "depths": 5, "seeds": 6}


class Grader:
    """A program that rates by the share of the fact's words that an answer has; it says so only after `mute` empty words.

    `dies_after` conversations it is gone; what it is asked about `hates` it never rates.
    """

    def __init__(self, mute: int = 0, dies_after: int | None = None, hates: str = "\x00") -> None:
        self.mute, self.dies_after, self.hates = mute, dies_after, hates
        self.label, self.usage, self.asked = "grader", Usage(), list[str]()
        self.identity: Mapping[str, Any] = {"kind": "grader", "usd_per_million_tokens": {"prompt": 1.0, "new": 2.0}}
        self.context_tokens: int | None = None

    def chat(self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], *_: Any) -> list[Answer]:
        return [self._rate(conversation[-1]["content"]) for conversation in conversations]

    def _rate(self, asked: str) -> Answer:
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise UsageError("the judge is gone")
        self.asked.append(asked)
        fact, answer = re.findall(r"The hidden fact: (.*)\nThe answer to grade: (.*)\n", asked)[0]
        words = set(re.findall(r"\w+", fact))
        points = 1 + round(9 * len(words & set(re.findall(r"\w+", answer))) / len(words))
        silent = self.asked.count(asked) <= self.mute or self.hates in answer
        return Answer("I cannot say." if silent else f"So it is.\nRating: {points}", "stop", 100, 10)


def judge(folder: Path, subject: Any, grader: Grader | None, name: str = "one") -> tuple[Any, dict[str, Record], list[Record]]:
    with Records(folder / f"{name}.jsonl") as records:
        facts = run(subject, NeedleConfig(**SETTINGS), Setting(judge=grader), records)  # type: ignore[arg-type]
    both = list(records)
    return facts, {r.item: r for r in both if r.task == JUDGED}, [r for r in both if r.task == TASK]


def test_every_answer_is_rated_and_the_same_answer_once(tmp_path: Path, searcher: Callable[..., Any]) -> None:
    grader = Grader()
    facts, ratings, answers = judge(tmp_path, searcher(reads=300), grader)
    assert len(ratings) == len(answers) == 60
    assert len(grader.asked) == len({(r.details["needle"], r.details["answer"]) for r in answers}) < 60
    for answer in answers:
        rating = ratings[answer.item].scores["judge"]
        assert rating == 10 if answer.scores["exact"] else rating < 8
    table = facts["tables"]["judge"]
    assert table["limits"] == [1, 10]
    assert table["mean"][0][-1] == 10 > table["mean"][1][0]
    used = facts["judge"]
    assert used["unjudged"] == 0
    assert used["prompt_tokens"] == 100 * len(grader.asked)
    assert used["cost_usd"] == pytest.approx(len(grader.asked) * 120e-6)


def test_a_judge_that_hesitates_is_asked_again_and_what_stays_unrated_is_counted(
    tmp_path: Path, searcher: Callable[..., Any]
) -> None:
    facts, ratings, _ = judge(tmp_path, searcher(), Grader(mute=2))
    assert facts["judge"]["unjudged"] == 0
    assert {rating.details["asked"] for rating in ratings.values()} == {3}
    facts, ratings, answers = judge(tmp_path, searcher(), Grader(mute=3), "mute")
    assert facts["judge"]["unjudged"] == len(answers) == len(ratings)
    assert "judge" not in facts["tables"]
    city = answers[0].details["answer"]
    facts, _, answers = judge(tmp_path, searcher(), Grader(hates=city), "one-sided")
    assert facts["judge"]["unjudged"] == sum(answer.details["answer"] == city for answer in answers) > 0
    assert (
        summarise(Records(tmp_path / "one-sided.jsonl"), 1)[JUDGED]["metrics"]["judge"]["items"] == 60 - facts["judge"]["unjudged"]
    )


def test_a_judge_that_dies_takes_no_answer_with_it_and_can_go_on(tmp_path: Path, searcher: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="judge is gone"):
        judge(tmp_path, searcher(), Grader(dies_after=0))
    subject, grader = searcher(), Grader()
    facts, ratings, answers = judge(tmp_path, subject, grader)
    assert len(subject.asked) == 1  # to measure; nothing else was left to ask
    assert len(answers) == len(ratings) == 60
    assert facts["tables"]["judge"]["value"] == 10
    again = Grader()
    assert judge(tmp_path, searcher(), again)[0] == facts
    assert not again.asked


def test_without_a_judge_there_are_no_ratings(tmp_path: Path, searcher: Callable[..., Any]) -> None:
    facts, ratings, _ = judge(tmp_path, searcher(), None)
    assert facts["judge"] is None
    assert not ratings
