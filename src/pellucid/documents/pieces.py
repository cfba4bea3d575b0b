"""Units of reading: large plain files in byte ranges, large parquet files in runs of row groups, everything else whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.documents.files import InputConfig, InputFile, file_digests, file_format, find_files
from pellucid.documents.hub import find_shards, hub_inputs
from pellucid.documents.restructure.load import template_file
from pellucid.documents.streams import is_corruption, open_raw, packing
from pellucid.recipe.data import SourceConfig

__all__ = ["Piece", "find_pieces", "input_digests"]


@dataclass(frozen=True)
class Piece:
    """What one unit of reading is; small, and can be pickled.

    `file` is a path, a URL, or a data set with its commit; `name` is how ids and origins call it, which holds no machine's path.
    `start` and `stop` (None: the end) are bytes of plain .jsonl, row groups of parquet, the shard of a data set; else 0 and None.
    `bytes` is the size of the input on the disk, 0 where it is not known.
    """

    source: str
    file: str
    name: str
    start: int
    stop: int | None
    bytes: int


def find_pieces(source: InputConfig, base: Path, piece_bytes: int) -> list[Piece]:
    """Return the pieces of a source in reading order; together they hold each record once, whatever `piece_bytes` is.

    A plain .jsonl or a parquet file of more than `piece_bytes` becomes several pieces: a line belongs to the piece in which it
    begins. `base` is the folder that relative paths start from. Raises `DataError` when nothing is found, when a file has no
    reader, or when a URL or data set cannot be reached.
    """
    if source.path is None and source.hub is not None:
        return [
            Piece(source.name, shard.file, shard.name, shard.index, shard.index + 1, shard.bytes)
            for shard in find_shards(source, base)
        ]
    pieces = []
    for file in find_files(source, base):
        for start, stop, size in _cuts(file, piece_bytes):
            pieces.append(Piece(source.name, file.path, file.name, start, stop, size))
    return pieces


def _cuts(file: InputFile, piece_bytes: int) -> list[tuple[int, int | None, int]]:
    """Return (start, stop, bytes) of a file's pieces."""
    kind = file_format(file.path)
    if file.bytes > piece_bytes and kind == "jsonl" and packing(file.path) is None:
        starts = range(0, file.bytes, piece_bytes)
        return [(start, stop := min(start + piece_bytes, file.bytes), stop - start) for start in starts]
    if file.bytes > piece_bytes and kind == "parquet":
        return list(_runs_of_groups(file, piece_bytes))
    return [(0, None, file.bytes)]


def _runs_of_groups(file: InputFile, piece_bytes: int) -> Iterator[tuple[int, int | None, int]]:
    try:
        with open_raw(file.path) as raw, pq.ParquetFile(raw, pre_buffer=False) as table:
            metadata = table.metadata
            sizes = [
                sum(group.column(column).total_compressed_size for column in range(group.num_columns))
                for group in (metadata.row_group(index) for index in range(metadata.num_row_groups))
            ]
    except (OSError, pa.ArrowException) as error:
        if not is_corruption(error):
            raise
        yield 0, None, file.bytes  # damaged: counted when it is read
        return
    start = size = 0
    for index, group_bytes in enumerate(sizes):
        if size and size + group_bytes > piece_bytes:
            yield start, index, size
            start, size = index, 0
        size += group_bytes
    yield start, len(sizes) if start else None, size if start else file.bytes


def input_digests(sources: Sequence[InputConfig], base: Path) -> dict[str, str]:
    """Return what the sources' input is known by, under SOURCE/NAME: files, commits of data sets, templates. For a stage's key.

    Raises as `find_pieces` does.
    """
    known: dict[str, str] = {}
    files: dict[str, InputFile] = {}
    for source in sources:
        inputs, commits = hub_inputs(source, base) if source.path is None and source.hub else (find_files(source, base), {})
        template = source.template if isinstance(source, SourceConfig) else None
        beside = template_file(template, base) if template is not None else None
        for file in [*inputs, *([beside] if beside is not None else [])]:
            name, number = f"{source.name}/{file.name}", 1
            while name in files:  # files elsewhere are named by the end of their path alone
                number += 1
                name = f"{source.name}/{file.name} ({number})"
            files[name] = file
        known |= {f"{source.name}/{name}": commit for name, commit in commits.items()}
    return known | file_digests(files)
