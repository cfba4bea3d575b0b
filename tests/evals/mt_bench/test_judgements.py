import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.mt_bench.judgements import Bench, judge_pairs, judge_single
from pellucid.evals.mt_bench.prompts import load_prompts
from pellucid.evals.results import Records
from pellucid.recipe.suites import MTBenchConfig

QUESTION = Question("1", "writing", ("first?", "second?"), 0.7)
ANSWERS = {"1": ["a", "bb"]}


def bench(judge, records, prompts=None):
    return Bench(judge, prompts or load_prompts(None), MTBenchConfig(judge_attempts=1), 1, records)


def test_a_rating_over_turns_counts_only_those_that_have_one(make_judge, tmp_path):
    judge, _ = make_judge(lambda prompt, body: "hm" if "second?" in prompt else "[[4]]")
    with Records(tmp_path / "a.jsonl") as records:
        judge_single(bench(judge, records), [QUESTION], ANSWERS, "t")
        record = records.get("t", "1")
    assert (record.scores, record.ratios, record.group) == ({"turn_1": 4}, {"rating": (4, 1)}, "writing")


@pytest.mark.parametrize(
    ("ours_first", "theirs_first", "points"),
    [("[[A]]", "[[B]]", 1), ("[[B]]", "[[A]]", 0), ("[[C]]", "[[C]]", 0.5), ("[[A]]", "[[A]]", 0.5), ("[[A]]", "[[C]]", 0.5),
     ("[[A]]", "hm", None)],
)  # fmt: skip
def test_a_win_needs_both_orders(make_judge, tmp_path, ours_first, theirs_first, points):
    one = Question("1", "writing", ("first?",), 0.7)
    judge, _ = make_judge(lambda prompt, body: ours_first if prompt.index("mine") < prompt.index("yours") else theirs_first)
    with Records(tmp_path / "a.jsonl") as records:
        judge_pairs(bench(judge, records), [one], {"1": ["mine"]}, {"1": ["yours"]}, "t")
        record = records.get("t", "1")
    assert record.scores.get("turn_1") == points
    assert record.ratios.get("win_rate") == (None if points is None else (points, 1))


def test_verdicts_by_other_prompts_are_not_mixed_in(make_judge, tmp_path):
    judge, _ = make_judge(lambda prompt, body: "[[4]]")
    other = load_prompts(None)
    other = type(other)({name: ("other", text) for name, (_, text) in other.prompts.items()}, "data", "0" * 16)
    with Records(tmp_path / "a.jsonl") as records:
        judge_single(bench(judge, records), [QUESTION], ANSWERS, "t")
        with pytest.raises(UsageError, match="judge prompts 0000000000000000, but the t that are already there are by"):
            judge_single(bench(judge, records, other), [QUESTION], ANSWERS, "t")


def test_verdicts_do_not_depend_on_what_is_asked_with_them(make_judge, tmp_path):
    questions = [Question(str(number), "writing", (f"number {number}?", "again?"), 0.7) for number in range(3)]
    answers = {question.id: ["a", "b"] for question in questions}
    seeds = []
    for together in (1, 3):
        judge, server = make_judge(lambda prompt, body: "[[4]]")
        with Records(tmp_path / f"{together}.jsonl") as records:
            config = MTBenchConfig(judge_attempts=1, together=together, judge_tokens=77)
            judge_single(Bench(judge, load_prompts(None), config, 1, records), questions, answers, "t")
        assert {body["max_tokens"] for _, _, body in server.seen} == {77}
        seeds.append({body["messages"][-1]["content"]: body["seed"] for _, _, body in server.seen})
    assert len(set(seeds[0].values())) == 6
    assert seeds[0] == seeds[1]
