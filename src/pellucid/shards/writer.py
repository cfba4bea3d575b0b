"""Documents → one split's shards: token files, document starts, document index.

A split is written in parts, one per file of documents. Parts know nothing of each other: they can be written by any processes in
any order, and each is whole exactly when its account is there. `join_parts` then makes the split's index of their accounts.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.recipe.data import ShardsConfig
from pellucid.shards.fim import Cutter, encode_rearranged
from pellucid.shards.guard import check_batch, check_index
from pellucid.shards.index import DOCUMENTS, INDEX, STARTS, ShardFile, ShardIndex, choose_dtype

__all__ = [
    "METADATA_SCHEMA",
    "Coding",
    "EncodeBatch",
    "PartAccount",
    "TextDocument",
    "finished_part",
    "is_joined",
    "join_parts",
    "write_part",
    "write_shards",
]

EncodeBatch = Callable[[list[str]], tuple[np.ndarray, np.ndarray]]

_NAMES = ("id", "language", "source", "licence", "origin", "digest")
METADATA_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in _NAMES), pa.field("text_bytes", pa.int64())])

_BATCH_CHARS = 4 << 20
_BATCH_DOCUMENTS = 1 << 14
_GROUP_ROWS = 1 << 14

# Starts, metadata and accounts of parts, until they are joined.
_PARTS = "parts"
_STARTS_AT_ONCE = 1 << 20


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


@dataclass(frozen=True)
class Coding:
    """How documents become tokens. `encode_batch(texts)` returns all tokens in one flat array and int64 offsets (n + 1).

    It makes no special tokens: the writer adds one EOS after each document, and the three of fill-in-the-middle where `cutter`
    says so.
    """

    encode_batch: EncodeBatch
    eos_id: int
    vocab_tokens: int
    special_ids: Mapping[str, int]
    cutter: Cutter | None = None

    @property
    def eos_name(self) -> str:
        """Name of the token that ends a document."""
        name = next((name for name, number in self.special_ids.items() if number == self.eos_id), None)
        assert name is not None, "EOS is one of the special tokens"
        return name

    def encode(self, documents: Sequence[TextDocument]) -> tuple[np.ndarray, np.ndarray, Mapping[str, int]]:
        """Return checked tokens and offsets (n + 1) of the documents, without EOS, and how many were rearranged in which form."""
        names = [document.id for document in documents]
        if self.cutter is None:
            ids, offsets = self.encode_batch([document.text for document in documents])
            check_batch(ids, offsets, names, self.eos_id, self.vocab_tokens)
            return ids, offsets, {}
        made = encode_rearranged(documents, self.encode_batch, self.cutter)
        owners = [names[number] for number in made.part_owner]
        check_batch(made.part_ids, made.part_offsets, owners, self.eos_id, self.vocab_tokens)
        return made.ids, made.offsets, made.counts


@dataclass(frozen=True)
class PartAccount:
    """The account of one part, written last: a part without one is written again."""

    files: tuple[ShardFile, ...]
    tokens: int
    documents: int
    special_counts: dict[str, int]
    text_bytes: int
    fim_documents: dict[str, int] = field(default_factory=dict)


def write_shards(
    documents: Iterable[TextDocument],
    encode_batch: EncodeBatch,
    eos_id: int,
    vocab_tokens: int,
    special_ids: Mapping[str, int],
    config: ShardsConfig,
    out: Path,
) -> ShardIndex:
    """Write a split that is one part below the folder `out`, which is replaced; see `write_part` and `join_parts`."""
    shutil.rmtree(out, ignore_errors=True)
    coding = Coding(encode_batch, eos_id, vocab_tokens, special_ids)
    write_part(documents, coding, config, out, "00000")
    return join_parts(out, ["00000"], coding, config)


def write_part(documents: Iterable[TextDocument], coding: Coding, config: ShardsConfig, out: Path, name: str) -> PartAccount:
    """Write the documents' tokens, each document followed by one EOS, as the part `name` of the split in the folder `out`.

    The files are NAME.bin, NAME_00001.bin and so on, each closed at the first document end after `config.shard_tokens` tokens.
    Memory stays at a batch of about 4 MB of text and its tokens, whatever the corpus. The account is written last, when the rest
    is on the disk; what an earlier attempt left is replaced.

    Raises `DataError` when the tokens cannot be right: an id outside the vocabulary, or EOS out of the encoder.
    """
    _clear_part(out, name)
    dtype = choose_dtype(coding.vocab_tokens)
    special = np.array(list(coding.special_ids.values()), dtype=np.int64)
    special_counts = np.zeros(len(special), dtype=np.int64)
    forms: dict[str, int] = {}
    parts = out / _PARTS
    with ExitStack() as stack:
        tokens = stack.enter_context(_TokenFiles(out, name, dtype, config.shard_tokens))
        starts = stack.enter_context(_StartsFile(parts / f"{name}.npy"))
        metadata = stack.enter_context(_MetadataFile(parts / f"{name}.parquet"))
        for batch in _batches(documents):
            ids, offsets, made = coding.encode(batch)
            joined, ends = _append_eos(ids, offsets, coding.eos_id, dtype)
            special_counts += np.bincount(joined, minlength=coding.vocab_tokens)[special]
            forms = {form: forms.get(form, 0) + count for form, count in made.items()}
            starts.write(np.concatenate(([0], ends[:-1])) + tokens.written)
            tokens.write(joined, ends)
            metadata.write(batch)
    counts = {token: int(number) for token, number in zip(coding.special_ids, special_counts, strict=True)}
    account = PartAccount(tuple(tokens.files), tokens.written, starts.entries, counts, metadata.text_bytes, forms)
    write_json(parts / f"{name}.json", asdict(account))
    return account


def finished_part(out: Path, name: str, dtype: np.dtype[Any]) -> PartAccount | None:
    """Return the account of a part that is whole, its files as long as it says; None when it must be written."""
    try:
        raw = read_json(out / _PARTS / f"{name}.json")
        account = PartAccount(**{**raw, "files": tuple(ShardFile(**file) for file in raw["files"])})
        sizes = [(out / file.name).stat().st_size == file.tokens * dtype.itemsize for file in account.files]
        with pq.ParquetFile(out / _PARTS / f"{name}.parquet") as metadata:
            rows = metadata.metadata.num_rows
        starts = np.load(out / _PARTS / f"{name}.npy", mmap_mode="r")
    except (ArtifactError, OSError, TypeError, KeyError, ValueError, pa.ArrowException):
        return None
    return account if all(sizes) and rows == len(starts) == account.documents else None


def is_joined(out: Path) -> bool:
    """Tell whether a split is finished: its index is there, which is written when all else is."""
    return (out / INDEX).is_file()


def join_parts(out: Path, names: Sequence[str], coding: Coding, config: ShardsConfig) -> ShardIndex:
    """Make one split of its finished parts, in the order of `names`: document starts, documents and the index, which comes last.

    Tokens stay in the parts' files; what is read and written is some hundred bytes per document, a row group at a time. A split
    that was joined before is left as it is.

    Raises `DataError` for EOS other than one per document, for tokens of fill-in-the-middle other than three per rearranged
    document, and for a larger share of special tokens than `config.max_special_frac` (TinyLlama paper: far too many EOS, found
    after 2.3 T tokens).
    """
    parts = out / _PARTS
    if not is_joined(out):
        dtype = choose_dtype(coding.vocab_tokens)
        accounts = []
        for name in names:
            account = finished_part(out, name, dtype)
            assert account is not None, f"part {name} of {out} is not finished"
            accounts.append(account)
        out.mkdir(parents=True, exist_ok=True)
        index = _sum(accounts, dtype, coding.special_ids)
        fim = coding.cutter.tokens.names if coding.cutter is not None else ()
        check_index(index, coding.eos_name, config.max_special_frac, "/".join(out.parts[-2:]), fim)
        _join_starts([parts / f"{name}.npy" for name in names], [account.tokens for account in accounts], out / STARTS)
        _join_metadata([parts / f"{name}.parquet" for name in names], out / DOCUMENTS)
        index.write(out)
    # The parts' own files are contents of nothing now; a kill before this line leaves them to the next call.
    shutil.rmtree(parts, ignore_errors=True)
    return ShardIndex.read(out)


def _sum(accounts: Sequence[PartAccount], dtype: np.dtype[Any], special_ids: Mapping[str, int]) -> ShardIndex:
    forms = sorted({form for account in accounts for form in account.fim_documents})
    return ShardIndex(
        dtype=dtype.name,
        files=tuple(file for account in accounts for file in account.files),
        tokens=sum(account.tokens for account in accounts),
        documents=sum(account.documents for account in accounts),
        special_counts={name: sum(account.special_counts[name] for account in accounts) for name in special_ids},
        text_bytes=sum(account.text_bytes for account in accounts),
        fim_documents={form: sum(account.fim_documents.get(form, 0) for account in accounts) for form in forms},
    )


def _join_starts(files: Sequence[Path], tokens: Sequence[int], path: Path) -> None:
    before = 0
    with _StartsFile(path) as joined:
        for file, count in zip(files, tokens, strict=True):
            starts = np.load(file, mmap_mode="r")
            for begin in range(0, len(starts), _STARTS_AT_ONCE):
                joined.write(starts[begin : begin + _STARTS_AT_ONCE] + before)
            before += count
        joined.write(np.array([before]))


def _join_metadata(files: Sequence[Path], path: Path) -> None:
    with pq.ParquetWriter(path, METADATA_SCHEMA, compression="zstd") as joined:
        for file in files:
            with pq.ParquetFile(file) as part:
                for group in range(part.num_row_groups):
                    joined.write_table(part.read_row_group(group))


def _clear_part(out: Path, name: str) -> None:
    (out / _PARTS).mkdir(parents=True, exist_ok=True)
    (out / _PARTS / f"{name}.json").unlink(missing_ok=True)
    for file in (out / f"{name}.bin", *out.glob(f"{name}_{'[0-9]' * 5}.bin")):
        file.unlink(missing_ok=True)


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
    """NAME.bin, NAME_00001.bin, …: each closed at the first document end after `limit` tokens."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], limit: int) -> None:
        self.files: list[ShardFile] = []
        self.written = 0
        self._folder, self._name, self._dtype, self._limit = folder, name, dtype, limit
        self._file: IO[bytes] | None = None
        self._in_file = 0

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Write whole documents; `ends` says where each ends in `ids`."""
        begin = 0
        while begin < len(ids):
            closing = int(np.searchsorted(ends, begin + self._limit - self._in_file, side="left"))
            end = int(ends[min(closing, len(ends) - 1)])
            if self._file is None:
                self._file = (self._folder / self._file_name).open("wb")
            self._file.write(ids[begin:end].data)
            self._in_file += end - begin
            self.written += end - begin
            if self._in_file >= self._limit:
                self._close()
            begin = end

    @property
    def _file_name(self) -> str:
        return f"{self._name}_{len(self.files):05d}.bin" if self.files else f"{self._name}.bin"

    def _close(self) -> None:
        if self._file is not None:
            with self._file:
                _to_disk(self._file)
            self.files.append(ShardFile(self._file_name, self._in_file))
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
                _to_disk(self._file)
        finally:
            self._file.close()


class _MetadataFile:
    """documents.parquet: one row per document, in groups small enough to read one and large enough to be few."""

    def __init__(self, path: Path) -> None:
        self.text_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._path = path
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
            if kind is None:
                with self._path.open("rb") as file:
                    os.fsync(file.fileno())


def _to_disk(file: IO[bytes]) -> None:
    """The account that comes after must never be on the disk before what it is the account of."""
    file.flush()
    os.fsync(file.fileno())
