import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError
from pellucid.evals.harness.splits import Split, converted, read_arrow, read_csv, read_json_lines, read_parquet


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write('{"a": 1}\n\n{"a": 2}\n')
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert list(read_json_lines(tmp_path / name)) == [(1, {"a": 1}), (3, {"a": 2})]
    (tmp_path / "t.csv").write_text('a,"two\nlines"\nb,c\n')
    assert list(read_csv(tmp_path / "t.csv")) == [(2, ["a", "two\nlines"]), (3, ["b", "c"])]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2 is no JSON"):
        list(read_json_lines(tmp_path / "a.jsonl"))


def test_what_cannot_be_converted_is_named() -> None:
    def halve(value: Any) -> dict[str, Any]:
        if value["n"] % 2:
            raise DataError("n is odd")
        return {"n": value["n"] // 2}

    file = Path("some.jsonl")
    split = converted(file, [(1, {"n": 4}), (3, {"n": 6})], halve, ("a note",))
    assert split == Split(({"n": 2}, {"n": 3}), (file,), (1, 3), "line", ("a note",))
    assert split.place(1) == "some.jsonl, line 3"
    with pytest.raises(DataError, match=r"some\.jsonl, line 2: n is odd"):
        converted(file, [(2, {"n": 5})], halve)
    with pytest.raises(DataError, match=r"some\.jsonl, line 7 is not laid out .* there is no field 'n'"):
        converted(file, [(7, {"m": 5})], halve)
    with pytest.raises(DataError, match=r"line 8 is not laid out"):
        converted(file, [(8, "text")], halve)


def test_tables_are_rows(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"a": 1, "b": ["x"]}, {"a": 2, "b": []}])
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    assert read_parquet([tmp_path / "a.parquet"]) == read_arrow([tmp_path / "a.arrow"]) == table.to_pylist()
