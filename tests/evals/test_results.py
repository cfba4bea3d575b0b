from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.evals.results import Record, Records, prompt_digest, read_records, summarise


def scored(file: Path, count: int) -> None:
    with Records(file) as records:
        for number in range(len(records), count):
            records.add(
                Record("t", str(number), {"acc": float(number % 2)}, {"bpb": (number, 2.0)}, group="even" if number % 2 else "odd")
            )


def test_records_come_back_as_they_were_written_and_go_on_where_they_ended(tmp_path: Path) -> None:
    scored(tmp_path / "items.jsonl", 3)
    before = (tmp_path / "items.jsonl").read_bytes()
    scored(tmp_path / "items.jsonl", 5)
    assert (tmp_path / "items.jsonl").read_bytes().startswith(before)
    found = list(read_records(tmp_path / "items.jsonl"))
    assert [record.item for record in found] == list("01234")
    assert found[3] == Record("t", "3", {"acc": 1.0}, {"bpb": (3.0, 2.0)}, group="even")


def test_a_line_cut_short_is_scored_again(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    scored(file, 4)
    file.write_bytes(file.read_bytes()[:-10])
    with Records(file) as records:
        assert records.has("t", "2") and not records.has("t", "3") and len(records) == 3
    scored(file, 4)
    assert len(list(read_records(file))) == 4


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_bytes(b'{"task": 1}\n')
    with pytest.raises(ArtifactError, match="line 1"):
        list(read_records(tmp_path / "items.jsonl"))


def test_an_item_is_not_scored_twice(tmp_path: Path) -> None:
    scored(tmp_path / "items.jsonl", 1)
    with Records(tmp_path / "items.jsonl") as records, pytest.raises(ValueError, match="twice"):
        records.add(Record("t", "0"))


def test_a_summary_has_means_ratios_groups_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    scored(tmp_path / "items.jsonl", 10)
    records = list(read_records(tmp_path / "items.jsonl"))
    table = summarise(records, 1)["t"]
    assert table["metrics"]["acc"]["value"] == 0.5
    assert table["metrics"]["bpb"]["value"] == sum(range(10)) / 20
    assert table["groups"]["even"]["metrics"]["acc"]["value"] == 1.0
    assert table["groups"]["even"]["metrics"]["acc"]["stderr"] == 0.0
    assert summarise(records[::-1], 1)["t"] == table


def test_clean_items_are_scored_beside_all(tmp_path: Path) -> None:
    scored(tmp_path / "items.jsonl", 10)
    table = summarise(read_records(tmp_path / "items.jsonl"), 1, lambda record: None if record.item == "9" else record.item == "1")[
        "t"
    ]
    assert table["items"] == 10
    assert table["clean"]["looked_up"] == 9
    assert table["clean"]["items"] == 1
    assert table["clean"]["metrics"]["acc"] == {"value": 1.0, "stderr": None, "low": None, "high": None, "items": 1}


def test_digests_tell_prompts_apart() -> None:
    assert prompt_digest("a", "b") != prompt_digest("ab")
    assert prompt_digest("\ud800") == prompt_digest("\ud800")


def test_groups_that_are_numbers_stand_in_their_order() -> None:
    groups = ["1000", "500", "all", "50"]
    table = summarise([Record("t", group, {"acc": 1.0}, group=group) for group in groups], 1)["t"]
    assert list(table["groups"]) == ["50", "500", "1000", "all"]
