"""Rows of one shard of a data set, as `datasets` streams them."""

import gzip
import zlib
from collections.abc import Iterator

from pellucid.core.errors import DataError
from pellucid.documents.document import Dropped
from pellucid.documents.hub import hub_is_explained, open_split, split_hub
from pellucid.documents.reading import Reading, Record
from pellucid.documents.streams import is_corruption

__all__ = ["read_shard"]

_PLAIN = ("string", "large_string", "int", "uint")


def read_shard(reading: Reading) -> Iterator[Record | Dropped]:
    """Yield the rows of the piece's shard; a shard that is damaged ends with a drop, because what follows cannot be found.

    Raises `DataError` as `find_shards` does, when the split has not the wanted columns, and when the network fails on the way.
    """
    source, piece = reading.source, reading.piece
    stream, _ = open_split(source, piece.file, split_hub(source.hub or "")[1])
    if stream.features is not None:
        types = {name: str(getattr(feature, "dtype", feature)) for name, feature in stream.features.items()}
        columns = reading.wanted.columns(list(types), [name for name, kind in types.items() if kind.startswith(_PLAIN)])
        for path in reading.wanted.required:
            if not any(path == name or path.startswith(f"{name}.") for name in columns):
                raise DataError(reading.wanted.missing(source, f"data set {source.hub}", path, types))
        stream = stream.select_columns(columns)  # so that images and sounds are not decoded
    rows = iter(stream.shard(num_shards=stream.num_shards, index=piece.start))
    number = 0
    while True:
        number += 1
        try:
            row = next(rows, None)
        except Exception as error:
            if not _is_damage(error):
                with hub_is_explained(source):
                    raise
            said = " ".join(str(error).split())[:300]
            yield Dropped(
                "file cut short", 0, reading.where(number), f"is where the shard is cut short or damaged ({said}); more may be lost"
            )
            return
        if row is None:
            return
        yield Record(reading.where(number), dict(row))


def _is_damage(error: Exception) -> bool:
    return is_corruption(error) or isinstance(error, ValueError | zlib.error | gzip.BadGzipFile)
