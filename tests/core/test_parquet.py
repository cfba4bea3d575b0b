from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.core.parquet import count_rows, count_values, iter_columns, read_rows


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rows 0 to 22 in three files with row groups of three; the middle file has none."""
    folder = tmp_path_factory.mktemp("rows")
    paths = [folder / f"{n}.parquet" for n in range(3)]
    for path, numbers in zip(paths, (range(10), range(0), range(10, 23)), strict=True):
        columns = {
            "n": pa.array(numbers, pa.int64()),
            "kind": pa.array(["even" if n % 2 == 0 else "odd" for n in numbers], pa.string()),
        }
        pq.write_table(pa.table(columns), path, row_group_size=3)
    return paths


@given(st.lists(st.integers(0, 22)))
def test_rows_come_in_the_order_asked_for_whatever_file_holds_them(files: list[Path], numbers: list[int]) -> None:
    assert [row["n"] for row in read_rows(files, numbers)] == numbers
    assert read_rows(files, numbers, ("kind",)) == [{"kind": "even" if n % 2 == 0 else "odd"} for n in numbers]


def test_rows_and_values_are_counted_over_all_files(files: list[Path]) -> None:
    assert count_rows(files) == 23
    assert count_values(files, "kind") == Counter(even=12, odd=11)
    assert [n for (n,) in iter_columns(files, ("n",))] == list(range(23))
    assert (count_rows([]), count_values([], "kind"), read_rows([], [])) == (0, Counter(), [])


def test_a_row_that_is_not_there_is_no_row(files: list[Path]) -> None:
    with pytest.raises(IndexError, match="row 23 does not exist; there are 23"):
        read_rows(files, [3, 23])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    for read in (
        lambda f: count_rows(f),
        lambda f: count_values(f, "kind"),
        lambda f: read_rows(f, [0]),
        lambda f: list(iter_columns(f, "n")),
    ):
        with pytest.raises(ArtifactError, match=r"a\.parquet cannot be read"):
            read([tmp_path / "a.parquet"])
