"""The authors' own files of HellaSwag and MMLU, and any file as text, compressed or not."""

import bz2
import csv
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pellucid.core.errors import DataError

__all__ = ["Asked", "read_csv_questions", "read_hellaswag", "read_text"]

_OPENERS: dict[str, Callable[[bytes], bytes]] = {".bz2": bz2.decompress, ".gz": gzip.decompress}


class Asked(NamedTuple):
    """A question as it stands in a file; `label` is the number of the right choice, from 0."""

    question: str
    choices: list[str]
    label: int


def read_text(path: Path) -> str:
    """Return a file's text, unpacked where its name ends in .bz2 or .gz. Raises `DataError` where it cannot be read."""
    try:
        return _OPENERS.get(path.suffix.lower(), bytes)(path.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text in UTF-8 ({error})") from error


def read_hellaswag(path: Path) -> Iterator[tuple[int, Asked]]:
    """Yield the items of HellaSwag's own layout, six lines an item (context, label, four endings), with the label's line.

    Raises `DataError` with file and line for a label that names no ending.
    """
    lines = read_text(path).rstrip("\n").split("\n")
    if len(lines) % 6:
        raise DataError(f"{path} has {len(lines)} lines; six an item are expected (context, label, four endings)")
    for first in range(0, len(lines), 6):
        context, label, *endings = lines[first : first + 6]
        if not label.isdecimal():
            raise DataError(f"{path}, line {first + 2}: the label is {label!r}; a number from 0 to 3 is expected")
        yield first + 2, _checked(path, first + 2, Asked(context, endings, int(label)))


def read_csv_questions(path: Path, choices: int | None = None) -> Iterator[tuple[int, Asked]]:
    """Yield the rows question, choices, answer of a CSV file, with or without a header, with the line on which each ends.

    The answer is a number from 0 or a letter. Raises `DataError` with file and line for fewer than two choices, for other than
    `choices` of them where that is given, and for an answer that names none.
    """
    reader = csv.reader(io.StringIO(read_text(path)))
    for row in reader:
        line = reader.line_num
        if not row or (line == 1 and (row[0].strip().lower() == "question" or row[-1].strip().lower() == "answer")):
            continue
        if len(row) < 4:
            raise DataError(f"{path}, line {line}: it has {len(row)} columns; question, choices and answer are expected")
        question, *offered, answer = row
        if choices is not None and len(offered) != choices:
            raise DataError(f"{path}, line {line}: it has {len(offered)} choices; {choices} are expected")
        yield line, _checked(path, line, Asked(question, offered, _label(answer.strip(), path, line, len(offered))))


def _label(answer: str, path: Path, line: int, choices: int) -> int:
    if answer.isdecimal():
        return int(answer)
    if len(answer) == 1 and answer.isascii() and answer.isalpha():
        return ord(answer.upper()) - ord("A")
    raise DataError(f"{path}, line {line}: the answer is {answer!r}; a number from 0 to {choices - 1} or a letter is expected")


def _checked(path: Path, line: int, asked: Asked) -> Asked:
    count = len(asked.choices)
    if asked.label >= count:
        raise DataError(
            f"{path}, line {line}: the label is {asked.label}; with {count} choices it must lie between 0 and {count - 1}"
        )
    return asked
