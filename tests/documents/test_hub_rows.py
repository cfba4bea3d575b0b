import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.documents.document import Document, Dropped
from pellucid.documents.hub_rows import read_shard
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reader import read_piece
from pellucid.documents.reading import Reading, Record
from pellucid.documents.texts import TextOf
from pellucid.recipe.data import SourceConfig

pytest.importorskip("datasets")
MakeSource = Callable[..., SourceConfig]
LIMIT = 10**9


def items(source: SourceConfig, base: Path) -> list[Record | Dropped]:
    wanted = TextOf(source, base).wanted
    pieces = find_pieces(source, base, LIMIT)
    return [item for piece in pieces for item in read_shard(Reading(source, piece, wanted, LIMIT))]


def test_the_rows_of_all_shards_are_those_of_the_split_in_order(tmp_path: Path, make_source: MakeSource) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for n in range(3):
        far = pa.array([2**61] * 4, pa.timestamp("us"))  # a time that Python cannot hold
        table = pa.table({"text": [f"{n}-{m}" for m in range(4)], "url": ["u"] * 4, "picture": [b"x"] * 4, "id": far})
        pq.write_table(table, folder / f"train-{n}.parquet")
    source = make_source(None, hub="./set", licence="MIT")
    found = items(source, tmp_path)
    assert found == [Record(f"set/train/{n:05}:{m + 1}", {"text": f"{n}-{m}", "url": "u"}) for n in range(3) for m in range(4)]
    document = next(read_piece(source, find_pieces(source, tmp_path, LIMIT)[1], tmp_path, LIMIT))
    assert isinstance(document, Document)
    assert (document.id, document.text, document.origin, document.licence) == ("set/train/00001:1", "1-0", "u", "MIT")


def test_lines_of_a_data_set_are_streamed_and_templates_fill_in(tmp_path: Path, make_source: MakeSource) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    records: list[Any] = [{"question": f"q{n}", "answers": {"text": [f"a{n}"]}} for n in range(5)]
    (folder / "train.jsonl").write_bytes(b"\n".join(map(orjson.dumps, records)))
    source = make_source(None, hub="./set", template="{question}: {answers.text.0}")
    (piece,) = find_pieces(source, tmp_path, LIMIT)
    found = list(read_piece(source, piece, tmp_path, LIMIT))
    assert [item.text for item in found if isinstance(item, Document)] == [f"q{n}: a{n}" for n in range(5)]


def test_rows_without_any_of_a_templates_optional_fields_are_counted(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"other": range(5)}), tmp_path / "set" / "train.parquet")
    (tmp_path / "t.yaml").write_text("task: t\nfields:\n  a: {optional: true}\nphrasings: ['{a}']\n")
    source = make_source(None, hub="./set", template="t.yaml")
    (piece,) = find_pieces(source, tmp_path, LIMIT)
    found = list(read_piece(source, piece, tmp_path, LIMIT))
    assert [item.reason for item in found if isinstance(item, Dropped)] == ["template: field missing"] * 5


def test_a_missing_column_lists_those_that_there_are(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"texts": ["x"], "n": [1]}), tmp_path / "set" / "train.parquet")
    with pytest.raises(
        DataError, match=r"text_column is 'text', but data set \./set, .* texts \(string\), n .*Set text_column: texts"
    ):
        items(make_source(None, hub="./set"), tmp_path)


def test_a_shard_that_is_damaged_ends_with_a_drop_and_the_others_are_read(tmp_path: Path, make_source: MakeSource) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    lines = b"\n".join(orjson.dumps({"text": f"{n * n * 7919 % 1_000_003}"}) for n in range(20_000))
    packed = gzip.compress(lines)
    (folder / "train-0.jsonl.gz").write_bytes(packed)
    (folder / "train-1.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "train-2.jsonl.gz").write_bytes(packed)
    found = items(make_source(None, hub="./set"), tmp_path)
    dropped = [item for item in found if isinstance(item, Dropped)]
    assert [item.reason for item in dropped] == ["file cut short"]
    assert dropped[0].where.startswith("set/train/00001:")
    assert len(found) >= 40_001
