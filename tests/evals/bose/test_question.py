import json
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.bose.question import load_choice_task
from pellucid.evals.subject import Setting

DATA = Path(__file__).parents[4] / "shared" / "data" / "bench"


def test_questions_have_no_prompt_around_them(questions: Path) -> None:
    task = load_choice_task(str(questions), 0, Setting())
    assert task.name == "colours" and len(task.questions) == 40 and task.examples == ()
    first = task.questions[0]
    assert first.text == "Which colour has thing 0?" and first.choices[1] == "green as grass" and first.label == 0
    assert len(task.about["sha256"]["colours.jsonl"]) == 64
    assert task.about["file"] == "colours.jsonl" and "path" not in task.about


def test_examples_are_none_of_the_questions_and_the_seed_chooses_the_rest(questions: Path) -> None:
    task = load_choice_task(str(questions), 3, Setting(limit=10))
    assert len(task.questions) == 10 and len(task.examples) == 3
    assert not {one.id for one in task.questions} & {one.id for one in task.examples}
    other = load_choice_task(str(questions), 3, Setting(limit=10, seed=2))
    assert other.examples == task.examples and other.questions != task.questions
    assert set(task.questions) < set(load_choice_task(str(questions), 3, Setting(limit=20)).questions)


def test_mmlu_and_arc_are_read_from_the_folder_of_data(tmp_path: Path) -> None:
    (tmp_path / "mmlu/test").mkdir(parents=True)
    (tmp_path / "mmlu/test/abstract_algebra_test.csv").write_text('question,A,B,C,D,answer\n"Find ____ now",1,2,3,4,C\n')
    (tmp_path / "arc_easy.jsonl").write_text(json.dumps({"query": "Question: Why?", "choices": ["a", "b"], "gold": 1}))
    (one,) = load_choice_task("mmlu", 0, Setting(data=str(tmp_path))).questions
    assert one.id == "abstract_algebra:0" and one.group == "abstract_algebra" and one.text == "Find ____ now"
    assert one.choices == ("1", "2", "3", "4") and one.label == 2
    (one,) = load_choice_task("arc_easy", 0, Setting(data=str(tmp_path))).questions
    assert one.text == "Why?" and one.choices == ("a", "b")
    with pytest.raises(UsageError, match="openbook_qa has no data"):
        load_choice_task("openbook_qa", 0, Setting(data=str(tmp_path)))


def test_what_cannot_be_asked_so_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "closing.jsonl"
    path.write_text(json.dumps({"context": "The", "continuation": "end"}))
    with pytest.raises(UsageError, match="no choices after one question"):
        load_choice_task(str(path), 0, Setting())
    path.write_text(json.dumps({"query": "?", "choices": ["a", "b"], "gold": 2}))
    with pytest.raises(DataError, match="label is 2"):
        load_choice_task(str(path), 0, Setting())
    path.write_text(json.dumps({"query": "?", "choices": ["a", "b"], "gold": 1}))
    with pytest.raises(DataError, match="1 questions; 1 examples and at least one"):
        load_choice_task(str(path), 1, Setting())


@pytest.mark.skipif(not DATA.is_dir(), reason="no benchmarks here")
@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge", "openbook_qa", "piqa", "hellaswag", "boolq", "mmlu"])
def test_each_benchmark_can_be_asked(name: str) -> None:
    task = load_choice_task(name, 2, Setting(data=str(DATA), limit=5))
    assert len(task.questions) == 5
    assert all(one.text and "Answer:" not in one.text and len(one.choices) >= 2 for one in task.questions)
