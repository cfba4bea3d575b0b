"""Documents → one split's shards: token files, document starts, document index."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.recipe.data import ShardsConfig
from pellucid.shards.guard import check_batch, check_index
from pellucid.shards.index import DOCUMENTS, STARTS, ShardFile, ShardIndex, choose_dtype

__all__ = ["METADATA_SCHEMA", "EncodeBatch", "TextDocument", "write_shards"]

EncodeBatch = Callable[[list[str]], tuple[np.ndarray, np.ndarray]]

_NAMES = ("id", "language", "source", "licence", "origin", "digest")
METADATA_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in _NAMES), pa.field("text_bytes", pa.int64())])

_BATCH_CHARS = 4 << 20
_BATCH_DOCUMENTS = 1 << 14
_GROUP_ROWS = 1 << 14


class TextDocument(Protocol):
    """What the writer needs of a document; `pellucid.documents.document.Document` is one."""

    @property
    def id(self) -> str:
        """Unique inside the source."""

    @property
    def text(self) -> str:
        """The text to encode."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def language(self) -> str:
        """ISO 639-1 code."""

    @property
    def licence(self) -> str:
        """SPDX identifier."""

    @property
    def origin(self) -> str:
        """Where the text was found."""

    @property
    def digest(self) -> str:
        """sha256 of the text."""


def write_shards(
    documents: Iterable[TextDocument],
    encode_batch: EncodeBatch,
    eos_id: int,
    vocab_tokens: int,
    special_ids: Mapping[str, int],
    config: ShardsConfig,
    out: Path,
) -> ShardIndex:
    """Write the documents' tokens, each document followed by one EOS, below the folder `out`, which is replaced.

    `encode_batch(texts)` returns all tokens in one flat array and int64 offsets (n + 1); it makes no special tokens. A file is
    closed at the first document end after `config.shard_tokens` tokens. Memory stays at a batch of about 4 MB of text and its
    tokens, whatever the corpus. `index.json` is written last.

    Raises `DataError` when the tokens cannot be right: an id outside the vocabulary, EOS other than one per document, or a larger
    share of special tokens than `config.max_special_frac` (TinyLlama paper: far too many EOS, found after 2.3 T tokens).
    """
    eos_name = next((name for name, number in special_ids.items() if number == eos_id), None)
    assert eos_name is not None, "EOS is one of the special tokens"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    dtype = choose_dtype(vocab_tokens)
    special = np.array(list(special_ids.values()), dtype=np.int64)
    special_counts = np.zeros(len(special), dtype=np.int64)
    lowest = int(special.min())
    with ExitStack() as stack:
        tokens = stack.enter_context(_TokenFiles(out, dtype, config.shard_tokens))
        starts = stack.enter_context(_StartsFile(out / STARTS))
        metadata = stack.enter_context(_MetadataFile(out / DOCUMENTS))
        for batch in _batches(documents):
            ids, offsets = encode_batch([document.text for document in batch])
            check_batch(ids, offsets, [document.id for document in batch], eos_id, vocab_tokens)
            joined, ends = _append_eos(ids, offsets, eos_id, dtype)
            high = joined[joined >= lowest]  # specials follow the ranks, so this leaves little to count
            special_counts += np.bincount(high, minlength=vocab_tokens)[special]
            starts.write(np.concatenate(([0], ends[:-1])) + tokens.written)
            tokens.write(joined, ends)
            metadata.write(batch)
        starts.write(np.array([tokens.written]))
        count = starts.entries - 1
    counts = {name: int(number) for name, number in zip(special_ids, special_counts, strict=True)}
    index = ShardIndex(dtype.name, tuple(tokens.files), tokens.written, count, counts, metadata.text_bytes)
    check_index(index, eos_name, config.max_special_frac, "/".join(out.parts[-2:]))
    index.write(out)
    return index


def _batches(documents: Iterable[TextDocument]) -> Iterator[list[TextDocument]]:
    """Group documents to about `_BATCH_CHARS` characters; a longer one is a batch of its own or ends one."""
    batch: list[TextDocument] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document.text)
        if chars >= _BATCH_CHARS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _append_eos(ids: np.ndarray, offsets: np.ndarray, eos_id: int, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens with EOS after each document, and where each document then ends."""
    ends = offsets[1:] + np.arange(1, len(offsets))
    joined = np.empty(len(ids) + len(ends), dtype=dtype)
    inside = np.ones(len(joined), dtype=bool)
    inside[ends - 1] = False
    joined[inside] = ids
    joined[ends - 1] = eos_id
    return joined, ends


class _TokenFiles:
    """00000.bin, 00001.bin, …: each closed at the first document end after `limit` tokens."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], limit: int) -> None:
        self.files: list[ShardFile] = []
        self.written = 0
        self._folder, self._dtype, self._limit = folder, dtype, limit
        self._file: IO[bytes] | None = None
        self._in_file = 0

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Write whole documents; `ends` says where each ends in `ids`."""
        begin = 0
        while begin < len(ids):
            closing = int(np.searchsorted(ends, begin + self._limit - self._in_file, side="left"))
            end = int(ends[min(closing, len(ends) - 1)])
            if self._file is None:
                self._file = (self._folder / f"{len(self.files):05d}.bin").open("wb")
            self._file.write(ids[begin:end].data)
            self._in_file += end - begin
            self.written += end - begin
            if self._in_file >= self._limit:
                self._close()
            begin = end

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self.files.append(ShardFile(f"{len(self.files):05d}.bin", self._in_file))
            self._file, self._in_file = None, 0

    def __enter__(self) -> "_TokenFiles":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()


class _StartsFile:
    """A one-dimensional int64 .npy file that is written piece by piece; its length is filled in at the end."""

    def __init__(self, path: Path) -> None:
        self.entries = 0
        self._file = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so that writing it again takes the same place.
        header = {"descr": "<i8", "fortran_order": False, "shape": (self.entries,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def write(self, values: np.ndarray) -> None:
        """Append values."""
        self._file.write(values.astype("<i8").tobytes())
        self.entries += len(values)

    def __enter__(self) -> "_StartsFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._write_header()
        finally:
            self._file.close()


class _MetadataFile:
    """documents.parquet: one row per document, in groups small enough to read one and large enough to be few."""

    def __init__(self, path: Path) -> None:
        self.text_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, METADATA_SCHEMA, compression="zstd")

    def write(self, documents: list[TextDocument]) -> None:
        """Add the documents' rows."""
        for document in documents:
            size = len(document.text.encode())
            self.text_bytes += size
            self._rows.append({**{name: getattr(document, name) for name in _NAMES}, "text_bytes": size})
            if len(self._rows) == _GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, METADATA_SCHEMA))
        self._rows = []

    def __enter__(self) -> "_MetadataFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None and self._rows:
                self._flush()
        finally:
            self._writer.close()
