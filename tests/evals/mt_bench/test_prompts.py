import json

import pytest

from pellucid.core.errors import DataError
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.mt_bench.prompts import load_prompts, read_preference, read_rating

PLAIN = Question("1", "writing", ("first?", "second?"), 0.7)
EXACT = Question("2", "math", ("first?", "second?"), 0.0, ("right 1", "right 2"))


@pytest.mark.parametrize(
    ("words", "rating"),
    [
        ("Good. Rating: [[7]]", 7),
        ("[[7.5]] as I said: [[7.5]]", 7.5),
        ("Rating: [8]", 8),
        ("**Rating**: [8]", 8),
        ("<think>[[3]] or [[4]]</think>Rating: [[5]]", 5),
        ("First [[3]], no, [[4]]", None),
        ("[[0]]", None),
        ("[[11]]", None),
        ("See [3] and [4].", None),
        ("Rating: [[rating]]", None),
        ("", None),
    ],
)
def test_a_rating_is_read_or_there_is_none(words, rating):
    assert read_rating(words) == rating


@pytest.mark.parametrize(("words", "value"), [("[[A]]", 1), ("so [[B]]", -1), ("[[C]]", 0), ("[[A]] [[B]]", None), ("A", None)])
def test_a_preference_is_read_or_there_is_none(words, value):
    assert read_preference(words) == value


@pytest.mark.parametrize("question", [PLAIN, EXACT], ids=["plain", "by reference"])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_judge_sees_questions_answers_and_references_up_to_its_turn_each_in_its_place(question, turn):
    prompts = load_prompts(None)
    single = prompts.single(question, ["one {question}", "two"], turn)[-1]["content"]
    pair = prompts.pair(question, ["ours one", "ours two"], ["theirs one", "theirs two"], turn)[-1]["content"]
    for text in (single, pair):
        assert "first?" in text
        assert ("second?" in text) == bool(turn)
        assert ("right 1" in text) == (question is EXACT)
        assert ("right 2" in text) == (question is EXACT and bool(turn))
    assert "one {question}" in single
    assert ("two" in single) == bool(turn)
    assert pair.index("ours one") < pair.index("theirs one")
    assert ("ours two" in pair and "theirs two" in pair) == bool(turn)


def test_a_file_of_prompts_takes_their_place_and_must_be_whole(tmp_path):
    own, file = load_prompts(None), tmp_path / "judge_prompts.jsonl"
    rows = [{"name": name, "system_prompt": "S", "prompt_template": "{question} {answer}"} for name in own.prompts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    theirs = load_prompts(file)
    assert (own.source, theirs.source) == ("pellucid", "data")
    assert own.digest != theirs.digest
    assert theirs.single(PLAIN, ["a"], 0)[-1]["content"] == "first? a"
    file.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(DataError, match=r"lacks the prompts .*pair-math-v1-multi-turn: add them"):
        load_prompts(file)
    file.write_text("{}\n")
    with pytest.raises(DataError, match="no lines with name, system_prompt and prompt_template"):
        load_prompts(file)
