from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pellucid.core.files import read_json
from pellucid.documents.pipeline.clean import CleanTask, clean_partition
from pellucid.documents.pipeline.dropped import DROPPED_SCHEMA
from pellucid.documents.pipeline.partition import find_partitions
from pellucid.documents.store import CLEANED_SCHEMA, iter_documents
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig


def task_for(folder: Path, lines: list[bytes], **fields: Any) -> CleanTask:
    (folder / "a.jsonl").write_bytes(b"\n".join(lines))
    source = SourceConfig(name="web", path="a.jsonl", weight=1, category="Web", language="en")
    (partition,) = find_partitions([source], folder, 10**9)
    return CleanTask(partition, DocumentsConfig.model_validate(fields), folder, folder / "work", seed=1, index=None)


def test_what_stays_is_signed_in_the_order_of_the_documents(tmp_path: Path) -> None:
    texts = ["the first text of all", "caf\u0065\u0301", "another text \x07with a bell"]
    lines = [orjson.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)]
    task = task_for(
        tmp_path, [lines[0], b"{", *lines[1:]], clean=[{"step": "unicode"}], near_dedup={}, min_bytes=6, keep_dropped=True
    )
    clean_partition(task)
    files = task.files
    documents = list(iter_documents(files.documents, CLEANED_SCHEMA.names))
    assert [(one.id, one.text) for one in documents] == [("0", texts[0]), ("2", "another text with a bell")]
    assert [one.where for one in documents] == ["a.jsonl@0", f"a.jsonl@{len(lines[0]) + 3 + len(lines[1]) + 1}"]
    assert [row.tobytes().hex() for row in np.load(files.digests)] == [one.digest[:32] for one in documents]
    assert np.load(files.sizes).tolist() == [len(one.text.encode()) for one in documents]
    assert np.load(files.signatures).shape == (2, 128) and np.isnan(np.load(files.scores)).all()
    account = read_json(files.account)
    assert account["funnel"]["dropped"] == {
        "invalid json": {"documents": 1, "bytes": 2},
        "shorter than min_bytes": {"documents": 1, "bytes": len(texts[1].encode())},
    }
    assert account["funnel"]["cleaned_bytes"] == 1 and account["first_unusable"]["reason"] == "invalid json"
    (corrupt,) = files.corrupt.read_bytes().splitlines()
    assert orjson.loads(corrupt)["raw"].startswith("{")
    assert files.dropped.exists() and DROPPED_SCHEMA.names[1] == "reason"


def test_a_partition_without_documents_has_its_numbers_too(tmp_path: Path) -> None:
    task = task_for(tmp_path, [b"[]"], near_dedup={"permutations": 64, "bands": 16})
    clean_partition(task)
    assert not task.files.documents.exists() and not task.files.dropped.exists()
    assert np.load(task.files.signatures).shape == (0, 64) and np.load(task.files.digests).shape == (0, 16)


def test_a_step_that_fails_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    task = task_for(tmp_path, [orjson.dumps({"text": "x"})], clean=[{"step": "perplexity", "model": "missing.arpa"}])
    with pytest.raises(Exception, match=r"missing\.arpa"):
        clean_partition(task)
    assert not task.files.folder.exists()
