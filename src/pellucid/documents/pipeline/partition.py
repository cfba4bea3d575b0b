"""Partitions: the units that the documents stage is shared out in, restarted by, and bounded in memory by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.documents.pieces import Piece, find_pieces
from pellucid.recipe.data import SourceConfig

__all__ = ["Partition", "find_partitions"]

_UNKNOWN_BYTES = 128_000_000


@dataclass(frozen=True)
class Partition:
    """Some of one source's input. `number` counts over all sources, `index` within the source; both follow the reading order."""

    number: int
    index: int
    source: SourceConfig
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Size of the input; inputs of unknown size (URLs, data sets of the hub) count as large ones."""
        return sum(piece.bytes or _UNKNOWN_BYTES for piece in self.pieces)

    @property
    def name(self) -> str:
        """Name of the partition's files."""
        return f"{self.number:05d}"

    def __str__(self) -> str:
        names = list(dict.fromkeys(piece.name for piece in self.pieces))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"source {self.source.name}, part {self.index} ({shown})"


def find_partitions(sources: Sequence[SourceConfig], base: Path, partition_bytes: int) -> list[Partition]:
    """Cut all sources into partitions of about `partition_bytes` of input, in the order of recipe, files and records.

    They follow from the files' names and sizes alone. Raises `DataError` as `find_pieces` does.
    """
    partitions: list[Partition] = []
    for source in sources:
        pieces = find_pieces(source, base, partition_bytes)
        for index, group in enumerate(_group(pieces, partition_bytes)):
            partitions.append(Partition(len(partitions), index, source, group))
    return partitions


def _group(pieces: Sequence[Piece], limit: int) -> list[tuple[Piece, ...]]:
    """Join neighbouring pieces until they reach the limit."""
    groups: list[tuple[Piece, ...]] = []
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        size_of_piece = piece.bytes or limit  # what is not known may be large
        if group and size + size_of_piece > limit:
            groups.append(tuple(group))
            group, size = [], 0
        group.append(piece)
        size += size_of_piece
    return [*groups, tuple(group)] if group else groups
