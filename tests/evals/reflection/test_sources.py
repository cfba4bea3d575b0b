import json
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.reflection.sources import load_probe
from pellucid.evals.subject import Setting


def row(number: int) -> dict[str, str]:
    total = number + 11
    return {"question": f"What do {number} and 11 make?", "answer": f"{number}+11=<<{number}+11={total}>>{total}\n#### {total}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    rows = [*(row(number) for number in range(20, 40)), {"question": "?", "answer": "#### 5"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    return path


def test_a_subset_is_the_same_whatever_is_asked_and_grows_with_the_limit() -> None:
    ids = [[item.worked.id for item in load_probe("arithmetic", 50, 2, Setting(limit=limit)).items] for limit in (10, 20, None)]
    assert ids[0] == ids[1][:10] and set(ids[1]) < set(ids[2]) and len(ids[2]) == 50
    other = [item.worked.id for item in load_probe("arithmetic", 50, 2, Setting(limit=10, seed=2)).items]
    assert other != ids[0]
    of_other_seed = {item.worked.id: item for item in load_probe("arithmetic", 50, 0, Setting(seed=2)).items}
    assert all(of_other_seed[item.worked.id] == item for item in load_probe("arithmetic", 50, 2, Setting()).items)


def test_examples_are_never_items(file: Path) -> None:
    probe = load_probe(str(file), 1, 3, Setting())
    items, examples = {item.worked.id for item in probe.items}, {one.id for one in probe.examples}
    assert probe.task == "mine" and len(items) == 17 and len(examples) == 3 and not items & examples
    assert probe.about["left_out"] == {"no calculation": 1} and len(probe.about["sha256"]) == 64
    assert probe.about["file"] == "mine.jsonl"
    made = load_probe("arithmetic", 100, 3, Setting())
    assert not {item.worked.id for item in made.items} & set(made.about["examples"])


def test_gsm8k_is_found_in_the_folder_of_data_in_both_its_shapes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder of data is given; give --data-dir DIR with DIR/gsm8k/test\.jsonl"):
        load_probe("gsm8k", 1, 0, Setting())
    with pytest.raises(UsageError, match=r"sets/gsm8k\.jsonl is there"):
        load_probe("gsm8k", 1, 0, Setting(data=str(tmp_path)))
    (tmp_path / "sets").mkdir()
    other = {"context": "?", "chain_of_thought": "7+11=<<7+11=18>>18", "answer": "18"}
    (tmp_path / "sets/gsm8k.jsonl").write_text(json.dumps(other))
    assert load_probe("gsm8k", 1, 0, Setting(data=str(tmp_path))).items[0].right_answer == 18


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'geometry' is neither arithmetic, nor gsm8k, nor a file"):
        load_probe("geometry", 1, 0, Setting())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is no worked answer"),
        ('{"question": "?"}', "KeyError: 'answer'"),
        ('{"question": "?", "answer": "5"}', "#### in answer"),
        ('{"question": 4, "answer": "#### 5"}', "a field is no text"),
        ("[]", "TypeError"),
        ('{"id": 0, "question": "?", "answer": "#### 5"}', "line 2: id '0' is there twice"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(row(3)) + "\n" + line)
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2") as caught:
        load_probe(str(path), 1, 0, Setting())
    assert message in str(caught.value)


def test_too_few_worked_answers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text(json.dumps(row(3)))
    with pytest.raises(DataError, match="has 1 usable worked answers; 2 examples and at least one item"):
        load_probe(str(path), 1, 2, Setting())
    path.write_text(json.dumps({"question": "?", "answer": "1-1=<<1-1=0>>0\n#### 0"}))
    assert load_probe(str(path), 1, 0, Setting()).items[0].carried_answer > 0
