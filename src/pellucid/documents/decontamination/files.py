"""Files of benchmarks → items: jsonl, json, csv, parquet, plain text, as they are or compressed with gzip or bzip2."""

import bz2
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import DataError
from pellucid.documents.decontamination.items import Item, make_item

__all__ = ["find_benchmarks", "name_benchmarks", "read_benchmarks", "read_items"]

FORMATS = (".jsonl", ".json", ".csv", ".parquet", ".txt")
_MMLU = ("question", "choice0", "choice1", "choice2", "choice3", "answer")
_HELLASWAG_LINES = 6  # a context, the number of the right ending, four endings


def find_benchmarks(patterns: Sequence[str], base: Path) -> list[Path]:
    """Return the files that match the patterns, relative to `base`, in an order that does not depend on where `base` is.

    Links keep their own names (the cache of the Hugging Face hub links names to digests); of several names of one file the first
    with a format counts. Raises `DataError` when a pattern matches no file.
    """
    files: dict[Path, Path] = {}
    for pattern in patterns:
        anchor, relative = (Path(Path(pattern).anchor), str(Path(pattern).relative_to(Path(pattern).anchor)))
        found = [path for path in (anchor if Path(pattern).is_absolute() else base).glob(relative) if path.is_file()]
        if not found:
            raise DataError(
                f"decontaminate.benchmarks: no file matches {pattern!r} in {base}; give a file or a glob such as bench/*.jsonl"
            )
        for path in found:
            known = files.setdefault(path.resolve(), path)
            files[path.resolve()] = min(known, path, key=lambda one: (not _split_name(one)[1], _parts(one, base)))
    return sorted(files.values(), key=lambda path: _parts(path, base))


def name_benchmarks(files: Sequence[Path], base: Path) -> list[str]:
    """Return for each file the shortest end of its path, without suffixes, that no other has; FOLDER/FILE at least, if it can be.

    Paths are taken from `base` on, so that no name holds a folder above it. A file that an absolute pattern found elsewhere has
    all of its path, of which the pattern says what no wildcard stands for. Files that differ in suffixes alone keep them.
    """
    full = [_parts(path, base) for path in files]
    bare = [(*parts[:-1], _split_name(path)[0]) for path, parts in zip(files, full, strict=True)]
    names = _shortest_ends(full, bare)
    # Of a.json, a.jsonl and a.json.txt, two would be called a.json.
    return names if len(set(names)) == len(names) else _shortest_ends(full, full)


def _shortest_ends(full: list[tuple[str, ...]], bare: list[tuple[str, ...]]) -> list[str]:
    files = Counter(bare)
    ends = Counter(parts[-size:] for parts in files for size in range(1, len(parts) + 1))
    names = []
    for whole, parts in zip(full, bare, strict=True):
        size = min(2, sum(part not in ("..", "/") for part in parts))
        while size < len(parts) and ends[parts[-size:]] > 1:
            size += 1
        names.append(Path(*parts[-size:-1], parts[-1] if files[parts] == 1 else whole[-1]).as_posix())
    return names


def read_benchmarks(patterns: Sequence[str], base: Path, ngram_words: int = 13) -> list[Item]:
    """Return the items of all files that match the patterns, in the order of `find_benchmarks`, named by `name_benchmarks`.

    Raises `DataError` as `find_benchmarks` and `read_items` do.
    """
    files = find_benchmarks(patterns, base)
    names = name_benchmarks(files, base)
    return [item for path, name in zip(files, names, strict=True) for item in read_items(path, name, ngram_words)]


def read_items(path: Path, benchmark: str, ngram_words: int = 13) -> list[Item]:
    """Return the items of one file; `number` counts its records from 0, those without text included.

    Text files hold six lines an item where they are HellaSwag's, otherwise a paragraph an item where there are empty lines,
    otherwise a line. JSON files hold a list of records, a mapping of names to records, or a mapping with a list of records inside
    (BIG-Bench Hard), whose own texts (a canary) are one item more. Raises `DataError` with file and place when a file cannot be
    read so.
    """
    records = list(_records(path))
    items = [item for number, record in enumerate(records) if (item := make_item(benchmark, number, record, ngram_words))]
    if not items:
        raise DataError(f"{path} holds no benchmark item with text in it; decontaminate.benchmarks should name files of questions")
    return items


def _records(path: Path) -> Iterator[dict[str, Any]]:
    _, kind, packed = _split_name(path)
    if kind == ".parquet":
        try:
            yield from pq.read_table(path).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as parquet: {error}") from error
        return
    if not kind:
        raise DataError(
            f"{path} is of no format that benchmarks are read from; use one of {', '.join(FORMATS)} (also .gz and .bz2)"
        )
    text = _read_text(path, packed)
    if kind == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield _as_record(_parse(line, f"{path}, line {number}"), f"{path}, line {number}")
    elif kind == ".json":
        yield from _json_records(_parse(text, str(path)), path)
    elif kind == ".csv":
        yield from _csv_records(text, path)
    else:
        yield from _text_records(text)


def _read_text(path: Path, packed: str) -> str:
    try:
        data = path.read_bytes()
        if packed == ".gz":
            data = gzip.decompress(data)
        elif packed == ".bz2":
            data = bz2.decompress(data)
        return data.decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _parse(text: str, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{where} is no JSON: {error}") from error


def _as_record(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"text": value}
    raise DataError(f"{where} holds a {type(value).__name__}; a benchmark item is an object with texts, or a string")


def _json_records(value: Any, path: Path) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        inner = next((part for part in value.values() if isinstance(part, list) and part and isinstance(part[0], dict)), None)
        if inner is not None:
            yield from (_as_record(part, str(path)) for part in inner)
            own = {name: part for name, part in value.items() if isinstance(part, str)}
            if own:
                yield own
            return
        if value and all(isinstance(part, dict) for part in value.values()):
            yield from value.values()
            return
        yield value
    elif isinstance(value, list):
        yield from (_as_record(part, f"{path}, element {number}") for number, part in enumerate(value))
    else:
        raise DataError(f"{path} holds a {type(value).__name__}; benchmark items are a list of objects")


def _csv_records(text: str, path: Path) -> Iterator[dict[str, Any]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        return
    # MMLU as its authors give it: no header, the letter of the right choice in the last column.
    headless = len(rows[0]) == len(_MMLU) and rows[0][-1] in "ABCD"
    header, body = (list(_MMLU), rows) if headless else (rows[0], rows[1:])
    for number, row in enumerate(body, 1 if headless else 2):
        if len(row) != len(header):
            raise DataError(f"{path}, record {number} has {len(row)} columns; the header has {len(header)}")
        yield dict(zip(header, row, strict=True))


def _text_records(text: str) -> Iterator[dict[str, Any]]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    labels = lines[1::_HELLASWAG_LINES]
    if labels and len(lines) % _HELLASWAG_LINES == 0 and all(label in ("0", "1", "2", "3") for label in labels):
        for begin in range(0, len(lines), _HELLASWAG_LINES):
            yield {"context": lines[begin], "endings": lines[begin + 2 : begin + _HELLASWAG_LINES]}
    elif "" in lines:
        yield from ({"text": part} for part in "\n".join(lines).split("\n\n") if part.strip())
    else:
        yield from ({"text": line} for line in lines)


def _split_name(path: Path) -> tuple[str, str, str]:
    """Return the file's name without suffixes, the suffix of its format and that of its compression; "" where there is none."""
    packed = path.suffix.lower() if path.suffix.lower() in (".gz", ".bz2") else ""
    plain = Path(path.stem if packed else path.name)
    kind = plain.suffix.lower() if plain.suffix.lower() in FORMATS else ""
    return plain.stem if kind else plain.name, kind, packed


def _parts(path: Path, base: Path) -> tuple[str, ...]:
    """Return the parts of the path from `base` on, as its pattern gave them, or all of them when it is elsewhere."""
    return (path.relative_to(base) if path.is_relative_to(base) else path).parts
