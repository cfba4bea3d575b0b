import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError, RecipeError
from pellucid.documents.pieces import Piece, find_pieces, input_digests
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]
WriteJsonl = Callable[[Path, list[Any]], Path]


def cuts(pieces: list[Piece]) -> list[tuple[int, int | None, int]]:
    return [(piece.start, piece.stop, piece.bytes) for piece in pieces]


def test_a_plain_jsonl_is_cut_by_bytes_and_everything_else_is_whole(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    size = write_jsonl(tmp_path / "a.jsonl", [{"text": "x" * 10}] * 10).stat().st_size
    for name in ("b.jsonl.gz", "c.txt", "d.json", "e.csv"):
        (tmp_path / name).write_bytes(b"x" * 100)
    pieces = find_pieces(make_source("*"), tmp_path, 90)
    assert cuts(pieces) == [(0, 90, 90), (90, 180, 90), (180, size, size - 180), *[(0, None, 100)] * 4]
    assert [piece.name for piece in pieces] == ["a.jsonl"] * 3 + ["b.jsonl.gz", "c.txt", "d.json", "e.csv"]
    assert all(str(tmp_path) not in piece.name and piece.source == "web" for piece in pieces)
    assert cuts(find_pieces(make_source("a.jsonl"), tmp_path, size)) == [(0, None, size)]
    assert pickle.loads(pickle.dumps(pieces)) == pieces


def test_a_parquet_is_cut_between_row_groups_that_are_together_not_too_large(tmp_path: Path, make_source: MakeSource) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"{n:04}" * 300 for n in range(40)]}), file, row_group_size=4, compression="none")
    group = pq.read_metadata(file).row_group(0).column(0).total_compressed_size
    size = file.stat().st_size
    assert cuts(find_pieces(make_source("a.parquet"), tmp_path, 3 * group)) == [
        (0, 3, 3 * group),
        (3, 6, 3 * group),
        (6, 9, 3 * group),
        (9, 10, group),
    ]
    assert len(find_pieces(make_source("a.parquet"), tmp_path, 1)) == 10
    assert cuts(find_pieces(make_source("a.parquet"), tmp_path, size)) == [(0, None, size)]


def test_a_parquet_that_is_damaged_is_one_piece_to_be_counted_when_it_is_read(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    assert cuts(find_pieces(make_source("a.parquet"), tmp_path, 10)) == [(0, None, 104)]


def test_files_of_a_store_are_cut_like_local_ones(tmp_path: Path, make_source: MakeSource) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    pq.write_table(pa.table({"text": ["x" * 50] * 8}), tmp_path / "b.parquet", row_group_size=4)
    store.pipe({"/pieces/a.jsonl": b"{}\n" * 10, "/pieces/b.parquet": (tmp_path / "b.parquet").read_bytes()})
    try:
        pieces = find_pieces(make_source("memory://pieces"), tmp_path, 25)
        assert [(piece.name, piece.start, piece.stop) for piece in pieces] == [
            ("memory:///pieces/a.jsonl", 0, 25),
            ("memory:///pieces/a.jsonl", 25, 30),
            ("memory:///pieces/b.parquet", 0, 1),
            ("memory:///pieces/b.parquet", 1, 2),
        ]
    finally:
        store.rm("/pieces", recursive=True)


def test_no_file_and_no_reader_are_said_before_anything_is_read(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match="source 'web' is empty"):
        find_pieces(make_source("*.jsonl"), tmp_path, 10)


def test_the_input_is_known_by_its_files_its_template_and_the_data_sets_state(
    tmp_path: Path, make_source: MakeSource, write_jsonl: WriteJsonl
) -> None:
    write_jsonl(tmp_path / "recipes" / "a.jsonl", [{"text": "x"}])
    for folder in ("one", "two"):
        write_jsonl(tmp_path / folder / "same.jsonl", [{"text": folder}])
    (tmp_path / "recipes" / "t.yaml").write_text("task: x\n")
    base = tmp_path / "recipes"
    sources = [
        make_source("a.jsonl", name="a", template="t.yaml"),
        make_source(str(tmp_path / "*/same.jsonl"), name="b", template="sentiment"),
        make_source(str(tmp_path / "one/same.jsonl"), name="c", template="{text}"),
    ]
    digests = input_digests(sources, base)
    assert list(digests) == ["a/a.jsonl", "a/t.yaml", "b/one/same.jsonl", "b/two/same.jsonl", "b/sentiment", "c/same.jsonl"]
    assert digests["b/one/same.jsonl"] == digests["c/same.jsonl"] != digests["b/two/same.jsonl"]
    (tmp_path / "recipes" / "t.yaml").write_text("task: y\n")
    changed = input_digests(sources, base)
    assert [name for name in digests if digests[name] != changed[name]] == ["a/t.yaml"]
    with pytest.raises(RecipeError, match="did you mean sentiment"):
        input_digests([make_source("a.jsonl", template="sentimant")], base)


def test_a_source_of_conversations_is_known_by_its_files_as_well(tmp_path: Path) -> None:
    (tmp_path / "talks.jsonl").write_text("{}\n")
    digests = input_digests([ConversationConfig(name="talks", path="talks.jsonl")], tmp_path)
    assert digests == {"talks/talks.jsonl": sha256(b"{}\n").hexdigest()}
