"""Records that could not be read, kept on disk to be looked at: a line of JSON each."""

import base64
import codecs
from pathlib import Path
from types import TracebackType
from typing import IO

import orjson

from pellucid.documents.document import Dropped

__all__ = ["SetAside"]


class SetAside:
    """Writes dropped records to a .jsonl file, which is made when the first one comes. The same records give the same bytes.

    A line holds `reason`, `where`, `bytes` (the record's true size), `detail`, and its beginning: as `raw` where that is UTF-8,
    else as `raw_base64`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def write(self, dropped: Dropped) -> None:
        """Add one record."""
        line = {"reason": dropped.reason, "where": dropped.where, "bytes": dropped.bytes, "detail": dropped.detail}
        try:
            # Incremental, because the cut may have gone through the last letter.
            line["raw"] = codecs.getincrementaldecoder("utf-8")().decode(dropped.raw)
        except UnicodeDecodeError:
            line["raw_base64"] = base64.b64encode(dropped.raw).decode()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def __enter__(self) -> "SetAside":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
