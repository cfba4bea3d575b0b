"""Splits of a benchmark's data as they lie on a disk, in the rows that the hub has, each with the place it came from."""

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError

__all__ = ["Row", "Split", "converted", "gold_of", "lettered", "read_arrow", "read_csv", "read_json_lines", "read_parquet"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """The rows of one split, the files they came from, and each row's place in them (`unit` N).

    `notes` say what the layout has lost against the data set on the hub.
    """

    rows: tuple[Row, ...]
    files: tuple[Path, ...]
    places: tuple[int, ...]
    unit: str = "line"
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Return where a row came from, for a message."""
        files = str(self.files[0]) if len(self.files) == 1 else f"{self.files[0].parent} ({len(self.files)} files)"
        return f"{files}, {self.unit} {self.places[row]}"


def read_json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield each line's number and value; plain or gzipped. Raises `DataError` naming a line that is no JSON."""
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{file}, line {number} is no JSON ({error})") from error


def read_csv(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line on which each row ends, and the row's fields."""
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        for row in reader:
            yield reader.line_num, row


def read_arrow(files: Iterable[Path]) -> list[Row]:
    """Return the rows of Arrow files as `datasets.save_to_disk` writes them."""
    import pyarrow as pa

    rows: list[Row] = []
    for file in files:
        with pa.memory_map(str(file)) as source:
            rows += pa.ipc.open_stream(source).read_all().to_pylist()
    return rows


def read_parquet(files: Iterable[Path]) -> list[Row]:
    """Return the rows of Parquet files."""
    import pyarrow.parquet as pq

    return [row for file in files for row in pq.read_table(file).to_pylist()]


def converted(file: Path, lines: Iterable[tuple[int, Any]], convert: Callable[[Any], Row], notes: tuple[str, ...] = ()) -> Split:
    """Return what `convert` makes of each line; `DataError` names the line of which it can make nothing."""
    rows, places = [], []
    for number, value in lines:
        try:
            rows.append(convert(value))
        except DataError as error:
            raise DataError(f"{file}, line {number}: {error}") from error
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            said = f"there is no field {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{file}, line {number} is not laid out as the benchmark's items are: {said}") from error
        places.append(number)
    return Split(tuple(rows), (file,), tuple(places), notes=notes)


def gold_of(row: Mapping[str, Any]) -> int:
    """Return the number of the right choice of a row with `choices` and `gold`; `DataError` when it names none."""
    gold, count = row["gold"], len(row["choices"])
    if not isinstance(gold, int) or not 0 <= gold < count:
        raise DataError(f"gold is {gold!r}; it must be 0 to {count - 1}, the number of the right choice")
    return gold


def lettered(row: Mapping[str, Any], question: str) -> Row:
    """Return a row with `query`, `choices` and `gold` as ARC and OpenBookQA have it; `question` is what they call the question."""
    labels = list("ABCDEFGHIJ"[: len(row["choices"])])
    text = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    choices = {"text": list(row["choices"]), "label": labels}
    return {"id": str(row.get("id", "")), question: text, "choices": choices, "answerKey": labels[gold_of(row)]}
