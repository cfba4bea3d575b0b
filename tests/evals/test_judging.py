import re
from collections.abc import Sequence

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.judging import Rule, ask_judge, need_judge, rating_in, spent, spoken
from pellucid.evals.subject import Answer, Decoding, Setting, Usage, nothing_done


class RuleJudge:
    """Judges by a rule: the rating is the number of words; what holds an x it forgets to rate until asked often enough."""

    label = "rule"
    context_tokens = None
    usage = Usage()

    def __init__(self, stubborn: int, prices: dict[str, float] | None = None) -> None:
        self.identity = {"kind": "rule", "usd_per_million_tokens": prices}
        self.stubborn = stubborn
        self.calls: list[tuple[list[str], float, list[int]]] = []

    def chat(self, conversations, decoding: Decoding, seeds: Sequence[int], on_done=nothing_done) -> list[Answer]:
        texts = [conversation[-1]["content"] for conversation in conversations]
        self.calls.append((texts, decoding.temperature, list(seeds)))
        rated = len(self.calls) > self.stubborn
        words = [f"[[{len(text.split())}]]" if rated or "x" not in text else "no idea" for text in texts]
        return [Answer(word, "stop", 10, 3) for word in words]


def rating(words: str, is_cut: bool = False) -> float | None:
    found = re.search(r"\[\[(\d+)\]\]", words)
    return float(found[1]) if found else None


def said(*texts: str):
    return [[{"role": "user", "content": text}] for text in texts]


def test_only_what_holds_no_verdict_is_asked_again_with_another_seed_and_hotter():
    judge, done = RuleJudge(stubborn=2), []
    verdicts = ask_judge(judge, said("a b", "x", "c"), Rule(rating, 4), [1, 2, 3], done.append)
    assert [(verdict.value, verdict.asked) for verdict in verdicts] == [(2, 1), (1, 3), (1, 1)]
    assert [call[0] for call in judge.calls] == [["a b", "x", "c"], ["x"], ["x"]]
    assert [call[1] for call in judge.calls] == [0, 0.7, 0.7]
    assert len({judge.calls[0][2][1], judge.calls[1][2][0], judge.calls[2][2][0]}) == 3
    assert done == [2, 0, 1]
    assert (verdicts[1].prompt_tokens, verdicts[1].new_tokens) == (30, 9)


def test_a_judge_that_never_decides_leaves_no_value_but_its_words():
    done: list[int] = []
    verdict = ask_judge(RuleJudge(stubborn=99), said("x"), Rule(rating, 3), [1], done.append)[0]
    assert (verdict.value, verdict.words, verdict.asked) == (None, "no idea", 3)
    assert sum(done) == 1


def test_without_a_judge_the_error_says_how_to_name_one():
    with pytest.raises(UsageError, match=r"mt_bench: no judge.*--judge URL"):
        need_judge(Setting(), "mt_bench")


def test_costs_are_by_price_of_tokens_or_unknown():
    priced = RuleJudge(0, {"prompt": 2.0, "new": 10.0})
    part = {"prompt_tokens": 500_000, "new_tokens": 250_000}
    assert spent(priced, [part, part])["cost_usd"] == 7.0
    assert spent(RuleJudge(0), [part]) == {**part, "cost_usd": None}
    untold = {"prompt_tokens": 0, "new_tokens": 0}
    assert spent(priced, [part, untold])["cost_usd"] is None
    assert spent(priced, [part, {**untold, "stopped_by": "context"}, {**untold, "unjudged": "too long"}])["cost_usd"] == 3.5


class Saying(RuleJudge):
    """Gives the answers it is made with, in their order, and then the last one over and over."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(0)
        self.answers = list(answers)

    def chat(self, conversations, decoding: Decoding, seeds: Sequence[int], on_done=nothing_done) -> list[Answer]:
        self.calls.append(([], decoding.max_new_tokens, list(seeds)))
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0] for _ in conversations]


def by_rating(words: str, is_cut: bool = False) -> float | None:
    return next(iter(rating_in(words, is_cut)), None)


def test_what_a_judge_weighs_before_it_is_cut_is_no_verdict_and_it_is_asked_again():
    judge = Saying(Answer("<think>perhaps [[3]], but", "length", 10, 5), Answer("Rating: [[7]]", "stop", 10, 5))
    verdict = ask_judge(judge, said("a"), Rule(by_rating, 3, 99), [1])[0]
    assert (verdict.value, verdict.asked, verdict.unjudged, judge.calls[0][1]) == (7, 2, None, 99)
    # A judge whose beginning of thought is part of the prompt.
    cut = Saying(Answer("perhaps [[3]], or not: I see that", "length", 10, 5))
    assert ask_judge(cut, said("a"), Rule(by_rating, 2), [1])[0].unjudged == "cut"
    ended = Saying(Answer("All is well. Rating: [[3]]", "length", 10, 5))
    assert ask_judge(ended, said("a"), Rule(by_rating, 2), [1])[0].value == 3


@pytest.mark.parametrize("answer", [Answer("[[3]]", "stop", 10, 5, dropped_tokens=4), Answer("[[3]]", "context", 10, 5)])
def test_a_judge_that_has_not_read_all_gives_no_verdict_and_is_not_asked_again(answer):
    judge = Saying(answer)
    verdict = ask_judge(judge, said("a"), Rule(by_rating, 3), [1])[0]
    assert (verdict.value, verdict.unjudged, verdict.asked, len(judge.calls)) == (None, "too long", 1, 1)


@pytest.mark.parametrize(
    ("words", "is_cut", "found"),
    [
        ("Rating (1-10): 8", False, [8]),
        ("Rating [1–10]: [8]", False, [8]),
        ("Rating 1-10: 8", False, [8]),
        ("<think>[[3]]</think>[[4]]", False, [4]),
        ("<think>a</think>b<think>[[3]]", False, []),
        ("[[3]] then [[4]] and [[3]]", False, [4, 3]),
        ("[[4]]", True, [4]),
        ("[[4]] but", True, []),
        ("Rating: 1", True, []),  # of 10?
        ("Rating: 1\n", True, [1]),
        ("Rating: 9/10", True, [9]),
    ],
)
def test_ratings_are_read_in_their_order(words, is_cut, found):
    assert rating_in(words, is_cut) == found


def test_what_is_said_comes_after_what_is_thought():
    assert [spoken(words) for words in ("a", "<think>a</think>b", "a</think>b", "<think>a")] == ["a", "b", "b", ""]
