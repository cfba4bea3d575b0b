import bz2
import gzip
import json
from pathlib import Path

import pytest

from pellucid.core.errors import DataError
from pellucid.evals.choices.item import Item
from pellucid.evals.choices.read import read_items, read_mmlu

BENCH = Path(__file__).parents[4] / "shared" / "data" / "bench"


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_every_shape_of_json_lines(tmp_path: Path) -> None:
    choice, named, schema, closing, text = read_items(
        write(
            tmp_path / "items.jsonl",
            {"query": "q", "choices": ["a", "b"], "gold": 1},
            {"context": "q", "choices": ["a", "b"], "label": "0", "id": "mine", "group": "g"},
            {"context_options": ["x", "y"], "continuation": "z", "gold": 0},
            {"context": "it is", "continuation": "over"},
            {"text": "once upon a time", "language": "en"},
        )
    )
    assert [item.kind for item in (choice, named, schema, closing, text)] == ["choice", "choice", "choice", "closing", "text"]
    assert (choice.id, named.id, schema.id) == ("0", "mine", "2")
    assert (choice.label, named.label, named.group, text.group) == (1, 0, "g", "en")
    assert schema.pairs[1] == ("y", " z") and text.pairs[0] == ("", "once upon a time")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"query": "q", "choices": ["a", "b"], "gold": 2}', "label is 2; with 2 choices it must lie between 0 and 1"),
        ('{"query": "q", "choices": ["a", "b"], "gold": -1}', "label is -1"),
        ('{"query": "q", "choices": ["a", "b"], "gold": null}', "label is None"),
        ('{"query": "q", "choices": ["a", "b"], "gold": true}', "label is True"),
        ('{"query": "q", "choices": ["a", 3], "gold": 0}', "number 1 of its choices is 3"),
        ('{"query": "q", "choices": ["a"], "gold": 0}', "1 choices"),
        ('{"question": "q"}', "it has the fields question; expected are"),
        ('{"query": "q", "choices": ["a", "b"], "gold": 0, "group": 3}', "its group is 3; a text is expected"),
        ('{"query": "q", "choices": ["a", "b"], "gold": 0, "delimiter": ["-"]}', "its delimiter is ['-']; a text is expected"),
        ('{"text": "x", "language": 7}', "its language is 7; a text is expected"),
        ('{"text": "x", "id": ["a"]}', "the id is ['a']; a text or a whole number is expected"),
        ("[1, 2]", "no JSON object"),
        ("{", "no JSON"),
    ],
)
def test_what_is_no_item_is_told_with_file_and_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"query": "q", "choices": ["a", "b"], "gold": 1}\n\n' + line + "\n")
    with pytest.raises(DataError) as error:
        list(read_items(path))
    assert f"{path}, line 3" in str(error.value) and told in str(error.value)


def test_two_items_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: the id is 'a', and so is that of line 1"):
        list(read_items(write(tmp_path / "items.jsonl", *[{"text": "x", "id": "a"}] * 2)))


def test_compressed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n'))
    assert len(list(read_items(tmp_path / "items.jsonl.gz"))) == 1
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n')[:-9])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz cannot be read"):
        list(read_items(tmp_path / "cut.jsonl.gz"))


def test_six_lines_are_an_item_of_hellaswag(tmp_path: Path) -> None:
    path = tmp_path / "hellaswag_val_full.txt.bz2"
    path.write_bytes(bz2.compress(b"A man sits. he\n2\nruns.\nsleeps.\nrips tiles.\nflies.\n"))
    (item,) = read_items(path)
    assert (item.id, item.label, item.pairs[2]) == ("0", 2, ("A man sits. he", " rips tiles."))
    path.write_bytes(bz2.compress(b"A man sits. he\n4\nruns.\nsleeps.\nrips tiles.\nflies.\n"))
    with pytest.raises(DataError, match=r"line 2: the label is 4; with 4 choices it must lie between 0 and 3"):
        list(read_items(path))
    path.write_bytes(bz2.compress(b"A man sits. he\n2\nruns.\n"))
    with pytest.raises(DataError, match="3 lines; six an item"):
        list(read_items(path))


def test_mmlu_is_shown_as_its_authors_show_it_with_or_without_a_header(tmp_path: Path) -> None:
    question = '"How many, exactly?",one,two,three,four,'
    (tmp_path / "high_school_physics_test.csv").write_text(f"question,choice0,choice1,choice2,choice3,answer\n{question}3\n")
    (tmp_path / "anatomy_test.csv").write_text(f"{question}B\n")
    anatomy, physics = read_mmlu(tmp_path)
    assert (anatomy.id, anatomy.label, physics.id, physics.label) == ("anatomy:0", 1, "high_school_physics:0", 3)
    assert physics.group == "high_school_physics" and [pair.continuation for pair in physics.pairs] == [" A", " B", " C", " D"]
    assert physics.pairs[0].context == (
        "The following are multiple choice questions (with answers) about high school physics.\n\n"
        "How many, exactly?\nA. one\nB. two\nC. three\nD. four\nAnswer:"
    )
    assert physics.text == {"question": "How many, exactly?", "choices": ["one", "two", "three", "four"], "answer": "four"}
    assert Item.from_json(json.loads(json.dumps(physics.to_json()))) == physics


@pytest.mark.parametrize(
    ("answer", "told"), [("E", "label is 4"), ("5", "label is 5"), ("?", r"answer is '\?'"), ("", "answer is ''")]
)
def test_an_answer_that_mmlu_cannot_have_is_told_with_its_line(tmp_path: Path, answer: str, told: str) -> None:
    (tmp_path / "anatomy_test.csv").write_text(f"q,a,b,c,d,A\nq,a,b,c,d,{answer}\n")
    with pytest.raises(DataError, match=rf"anatomy_test\.csv, line 2: .*{told}"):
        list(read_mmlu(tmp_path))


def test_a_plain_text_is_one_item_and_other_files_are_none(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("Call me Ishmael.\n")
    (item,) = read_items(tmp_path / "book.txt")
    assert item.pairs == (("", "Call me Ishmael.\n"),)
    (tmp_path / "book.pdf").write_text("x")
    with pytest.raises(DataError, match=r"must end in \.jsonl"):
        list(read_items(tmp_path / "book.pdf"))


@pytest.mark.skipif(not BENCH.is_dir(), reason="the benchmark sets are not there")
def test_the_published_sets_have_the_published_numbers_of_items() -> None:
    counts = {"arc_easy": 2376, "arc_challenge": 1172, "openbook_qa": 500, "piqa": 1838, "boolq": 3270, "lambada_openai": 5153}
    for name, count in counts.items():
        assert len(list(read_items(BENCH / "sets" / f"{name}.jsonl"))) == count
    assert len(list(read_items(BENCH / "hellaswag" / "hellaswag_val_full.txt.bz2"))) == 10042
    assert len(list(read_mmlu(BENCH / "mmlu" / "test"))) == 14042
