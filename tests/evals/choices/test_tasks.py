import json
from pathlib import Path

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.choices.item import Item, text_item
from pellucid.evals.choices.tasks import TASKS, load_task, pick

QUESTION = {"query": "Question: Is it?\n", "choices": ["yes", "no"], "gold": 1}


def put(folder: Path, name: str, *lines: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def texts(count: int) -> list[Item]:
    return [text_item(str(n), f"text {n}") for n in range(count)]


def test_a_task_is_found_in_the_layouts_that_it_has_and_shown_with_its_prompt(tmp_path: Path) -> None:
    put(tmp_path, "sets/piqa.jsonl", QUESTION)
    task = load_task("piqa", tmp_path, 1, None)
    assert task.items[0].pairs[1] == ("Question: Is it?\nAnswer:", " no")
    assert task.origin["available"] == 1 and set(task.origin["sha256"]) == {"piqa.jsonl"}  # type: ignore[call-overload]


def test_a_file_of_items_is_a_task_as_it_is(tmp_path: Path) -> None:
    path = put(tmp_path, "mine.jsonl", QUESTION)
    for name in (str(path), "mine.jsonl"):
        assert load_task(name, tmp_path, 1, None).items[0].pairs[0] == ("Question: Is it?\n", "yes")


def test_a_files_task_is_chosen_and_called_alike_wherever_it_lies(tmp_path: Path) -> None:
    lines = [{**QUESTION, "id": str(n)} for n in range(30)]
    here, there = (load_task(str(put(tmp_path, f"{folder}/mine.jsonl", *lines)), None, 1, 5) for folder in ("a", "b"))
    assert here.items == there.items and here.name == there.name == "mine.jsonl"
    assert here.path == tmp_path / "a" / "mine.jsonl" and str(tmp_path) not in json.dumps(here.facts)
    assert here.facts["file"] == "mine.jsonl" and here.facts["sha256"] == there.facts["sha256"]


def test_arcs_files_are_said_to_have_wrong_labels() -> None:
    assert all("71 of 2376 easy items" in TASKS[name].about for name in ("arc_easy", "arc_challenge"))


def test_missing_data_are_told_with_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task piqa needs data: give --data-dir FOLDER with sets/piqa\.jsonl"):
        load_task("piqa", None, 1, None)
    with pytest.raises(UsageError, match=rf"no data in {tmp_path}: looked for sets/piqa\.jsonl, piqa\.jsonl"):
        load_task("piqa", tmp_path, 1, None)
    with pytest.raises(UsageError, match=r"no task 'pika', and no file: looked for pika, .*/pika\. Tasks are arc_easy"):
        load_task("pika", tmp_path, 1, None)
    with pytest.raises(UsageError, match=r"run's held-out documents; looked in .*: give --data-dir RUN"):
        load_task("continuation", tmp_path, 1, None)
    with pytest.raises(UsageError, match="no folder was given"):
        load_task("perplexity", None, 1, None)


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"empty\.jsonl has no items"):
        load_task(str(put(tmp_path, "empty.jsonl")), None, 1, None)


def test_a_subset_is_a_matter_of_seed_and_ids_alone() -> None:
    some = pick(texts(100), 20, 1, "t")
    assert [int(item.id) for item in some] == sorted(int(item.id) for item in some)
    assert {item.id for item in pick(texts(100)[::-1], 20, 1, "t")} == {item.id for item in some}
    assert {item.id for item in pick(texts(100), 10, 1, "t")} < {item.id for item in some}
    assert {item.id for item in pick(texts(100), 20, 2, "t")} != {item.id for item in some}
    assert pick(texts(3), 20, 1, "t") == pick(texts(3), None, 1, "t") == texts(3)


def test_tasks_are_made_from_a_runs_held_out_documents(finished_run: Path) -> None:
    by_run, by_documents = (load_task("perplexity", folder, 1, 5) for folder in (finished_run, finished_run / "documents"))
    assert by_run.items == by_documents.items and len(by_run.items) == 5


def test_every_task_says_how_it_is_shown() -> None:
    assert all(source.about and source.places for source in TASKS.values())
