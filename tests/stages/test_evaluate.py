import json
import math
from pathlib import Path

import pytest

from pellucid.core.errors import DataError
from pellucid.documents.document import Document
from pellucid.documents.store import DocumentWriter
from pellucid.stages.evaluate import heldout_documents
from pellucid.stages.run_folder import open_recipe


def scores(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "scores" / "heldout.json").read_text())
    return found


def test_groups_add_up_to_the_whole_and_to_the_records(finished_run: Path) -> None:
    table = scores(finished_run)["bits_per_byte"]
    assert isinstance(table, dict)
    records = [json.loads(line) for line in (finished_run / "scores" / "heldout.documents.jsonl").read_text().splitlines()]
    nats, size = math.fsum(record["nats"] for record in records), sum(record["bytes"] for record in records)
    assert table["all"] == pytest.approx(nats / math.log(2) / size, rel=1e-12)
    for group in ("by_source", "by_language"):
        assert sum(row["bytes"] for row in table[group].values()) == size
        weighted = sum(row["model"] * row["bytes"] for row in table[group].values()) / size
        assert weighted == pytest.approx(table["all"], rel=1e-9)
        assert all({"xz", "ngram", "perplexity", "documents"} <= row.keys() for row in table[group].values())


def test_the_window_and_the_checkpoint_are_stated(finished_run: Path) -> None:
    found = scores(finished_run)
    assert found["window"] == {"seq_tokens": 128, "stride_tokens": 64}
    assert found["checkpoint"] == {"path": "pretrain/checkpoints/step-00000030", "step": 30, "stage": "pretrain"}


def test_without_held_out_documents_there_is_a_clear_error(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    nothing = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"max_bytes": 1})})
    with pytest.raises(DataError, match="no document is held out"):
        heldout_documents(nothing, finished_run / "documents")


def test_a_document_above_the_limit_is_left_out_and_shorter_ones_behind_it_are_scored(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    sources = (recipe.sources[0].model_copy(update={"name": "web"}),)
    with DocumentWriter(tmp_path / "web" / "heldout" / "00000.parquet") as writer:
        for number, size in enumerate((500, 40, 70, 60)):
            writer.write(Document(str(number), "x" * size, "web", "en", "MIT", "here", ""))
    evaluate = recipe.evaluate.model_copy(update={"max_bytes": 100})
    found = heldout_documents(recipe.model_copy(update={"sources": sources, "evaluate": evaluate}), tmp_path)
    assert [document.id for document in found] == ["1", "3"]
