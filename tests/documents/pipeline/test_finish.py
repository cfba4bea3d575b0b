from pathlib import Path

import orjson

from pellucid.core.files import read_json
from pellucid.documents.pipeline.clean import CleanTask, clean_partition
from pellucid.documents.pipeline.decide import decide
from pellucid.documents.pipeline.dropped import iter_dropped
from pellucid.documents.pipeline.finish import FinishTask, finish_partition
from pellucid.documents.pipeline.partition import find_partitions
from pellucid.documents.store import iter_split
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig


def test_what_stays_is_split_and_written_and_what_goes_is_told(tmp_path: Path) -> None:
    records = [{"id": "same", "text": f"text {n % 30}"} for n in range(40)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*(orjson.dumps(record) for record in records), b"\xff{"]))
    source = SourceConfig(name="web", path="a.jsonl", weight=1, category="Web")
    (partition,) = find_partitions([source], tmp_path, 10**9)
    config = DocumentsConfig(heldout_frac=0.3, keep_dropped=True)
    work, out = tmp_path / "work", tmp_path / "out"
    clean_partition(CleanTask(partition, config, tmp_path, work, 0, None))
    decide([partition], config, work, 0, lambda function, tasks: map(function, tasks))
    task = FinishTask(partition, config, work, out)
    finish_partition(task)
    account = read_json(task.account)
    written = [document for split in ("train", "heldout") for document in iter_split(out, "web", split)]
    assert account["kept"] + account["heldout"] == len(written) == 30 and account["heldout"] > 0
    assert account["dropped"]["exact duplicate"]["documents"] == 10
    ids = {document.id for document in written}
    assert len(ids) == 30 and "same" in ids and all(id_ == "same" or id_.startswith("same@a.jsonl@") for id_ in ids)
    rows = list(iter_dropped(out, "web"))
    assert [row["reason"] for row in rows] == ["not utf-8"] + ["exact duplicate"] * 10
    digests = {document.digest[:32] for document in written}
    assert all(row["detail"].rpartition(" ")[2] in digests for row in rows[1:])
    assert (out / "web" / "corrupt" / "00000.jsonl").read_bytes().count(b"\n") == 1
