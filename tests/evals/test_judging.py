import re
from collections.abc import Sequence

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.judging import ask_judge, need_judge, spent
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


def rating(words: str) -> float | None:
    found = re.search(r"\[\[(\d+)\]\]", words)
    return float(found[1]) if found else None


def said(*texts: str):
    return [[{"role": "user", "content": text}] for text in texts]


def test_only_what_holds_no_verdict_is_asked_again_with_another_seed_and_hotter():
    judge, done = RuleJudge(stubborn=2), []
    verdicts = ask_judge(judge, said("a b", "x", "c"), rating, 4, [1, 2, 3], done.append)
    assert [(verdict.value, verdict.asked) for verdict in verdicts] == [(2, 1), (1, 3), (1, 1)]
    assert [call[0] for call in judge.calls] == [["a b", "x", "c"], ["x"], ["x"]]
    assert [call[1] for call in judge.calls] == [0, 0.7, 0.7]
    assert len({judge.calls[0][2][1], judge.calls[1][2][0], judge.calls[2][2][0]}) == 3
    assert done == [2, 0, 1]
    assert (verdicts[1].prompt_tokens, verdicts[1].new_tokens) == (30, 9)


def test_a_judge_that_never_decides_leaves_no_value_but_its_words():
    done: list[int] = []
    verdict = ask_judge(RuleJudge(stubborn=99), said("x"), rating, 3, [1], done.append)[0]
    assert (verdict.value, verdict.words, verdict.asked) == (None, "no idea", 3)
    assert sum(done) == 1


def test_without_a_judge_the_error_says_how_to_name_one():
    with pytest.raises(UsageError, match=r"mt_bench: no judge.*--judge URL"):
        need_judge(Setting(), "mt_bench")


def test_costs_are_by_price_of_tokens_or_unknown():
    assert spent(RuleJudge(0, {"prompt": 2.0, "new": 10.0}), 1_000_000, 500_000)["cost_usd"] == 7.0
    assert spent(RuleJudge(0), 1, 1) == {"prompt_tokens": 1, "new_tokens": 1, "cost_usd": None}
