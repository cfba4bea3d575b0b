"""What the readers of all formats share: the piece to read with its limits, and the record that comes out."""

from dataclasses import dataclass, field
from typing import Any

from pellucid.documents.document import Bytes
from pellucid.documents.files import InputConfig
from pellucid.documents.pieces import Piece
from pellucid.documents.streams import CHUNK_BYTES
from pellucid.documents.texts import Wanted

__all__ = ["Reading", "Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """Fields as they stand in the file; `where` is FILE:NUMBER (lines, rows or values from 1) or FILE@OFFSET (bytes from 0).

    `raw` is the record as it was found, and `bytes` its size; both are empty for rows of tables.
    """

    where: str
    fields: dict[str, Any]
    bytes: int = 0
    raw: Bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Reading:
    """One piece to read: which fields are wanted, and how many UTF-8 bytes a text may have."""

    source: InputConfig
    piece: Piece
    wanted: Wanted
    max_bytes: int

    @property
    def limit(self) -> int:
        """Return the size from which a raw record is skipped unread: what a text of `max_bytes` needs, with room for escapes."""
        return 2 * self.max_bytes + CHUNK_BYTES

    def where(self, number: int) -> str:
        """Return the place of the record of this number, from 1."""
        return f"{self.piece.name}:{number}"
