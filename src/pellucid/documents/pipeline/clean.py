"""First pass, one partition: read, clean, look for benchmark items, and sign what is left for the search for duplicates."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pellucid.core.files import fsync_directory, fsync_tree, write_json
from pellucid.core.groups import grouped
from pellucid.core.units import utf8_bytes
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.steps import build_steps
from pellucid.documents.decontamination.find import apply as decontaminate
from pellucid.documents.decontamination.index import load_index
from pellucid.documents.dedup.minhash import signatures
from pellucid.documents.document import UNKNOWN_LANGUAGE, Document, Dropped, digest_text
from pellucid.documents.funnel import SourceFunnel
from pellucid.documents.pipeline.dropped import DroppedWriter
from pellucid.documents.pipeline.partition import Partition
from pellucid.documents.reader import CORRUPT, UNUSABLE, read_piece
from pellucid.documents.set_aside import SetAside
from pellucid.documents.store import CLEANED_SCHEMA, DocumentWriter
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import DocumentsConfig

__all__ = ["CleanTask", "CleanedFiles", "clean_partition"]

_BATCH_CHARS = 1 << 20
_BATCH_DOCUMENTS = 1 << 13
_HIT_CHARS = 1000
# What a code of BCP 47 can look like; records may say anything, and the account has an entry for each language.
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True)
class CleanTask:
    """One partition to clean. `index` is the folder of benchmark n-grams, where benchmarks are looked for."""

    partition: Partition
    config: DocumentsConfig
    base: Path
    work: Path
    seed: int
    index: Path | None

    @property
    def files(self) -> "CleanedFiles":
        """Where the result lies."""
        return CleanedFiles(self.work / "cleaned" / self.partition.name)

    def __str__(self) -> str:
        return str(self.partition)


@dataclass(frozen=True)
class CleanedFiles:
    """What the first pass leaves of a partition with N documents; the folder is there when all of it is."""

    folder: Path

    @property
    def documents(self) -> Path:
        """The documents (parquet)."""
        return self.folder / "documents.parquet"

    @property
    def dropped(self) -> Path:
        """Dropped records, where they are kept (parquet)."""
        return self.folder / "dropped.parquet"

    @property
    def corrupt(self) -> Path:
        """Records that could not be read (JSON lines), where there are any."""
        return self.folder / "corrupt.jsonl"

    @property
    def digests(self) -> Path:
        """First half of each text's sha256, (N, 16) uint8."""
        return self.folder / "digests.npy"

    @property
    def ids(self) -> Path:
        """First half of the sha256 of source and id, (N, 16) uint8."""
        return self.folder / "ids.npy"

    @property
    def signatures(self) -> Path:
        """MinHash signatures (N, P) uint32, where near-duplicates are looked for."""
        return self.folder / "signatures.npy"

    @property
    def sizes(self) -> Path:
        """UTF-8 bytes of each text, (N,) int64."""
        return self.folder / "sizes.npy"

    @property
    def scores(self) -> Path:
        """Perplexity of each text, (N,) float64, NaN where it was not asked for."""
        return self.folder / "scores.npy"

    @property
    def hits(self) -> Path:
        """What was found of benchmarks (JSON)."""
        return self.folder / "hits.json"

    @property
    def account(self) -> Path:
        """Counts by reason and the first unusable record (JSON)."""
        return self.folder / "account.json"


def clean_partition(task: CleanTask) -> None:
    """Write `task.files`, all at once at the end. Memory is a batch of about a million characters and what the steps make of it."""
    target = task.files
    # A name of its own: on a cluster, a process that was given up may still be at work on the same partition.
    part = CleanedFiles(target.folder.with_name(f".{target.folder.name}.{uuid4().hex}.part"))
    part.folder.mkdir(parents=True)
    try:
        _Cleaner(task, part).run()
        fsync_tree(part.folder)
        if not target.folder.exists():
            part.folder.rename(target.folder)
            fsync_directory(target.folder.parent)
    finally:
        shutil.rmtree(part.folder, ignore_errors=True)


class _Cleaner:
    """The work on one partition: what it counts and what it has written so far."""

    def __init__(self, task: CleanTask, part: CleanedFiles) -> None:
        self.task, self.part, self.config = task, part, task.config
        source = task.partition.source
        self.steps = build_steps(self.config.clean if source.clean is None else source.clean, task.base)
        self.index = None if task.index is None else load_index(task.index)
        self.account = SourceFunnel()
        self.first_unusable: Dropped | None = None
        self.hits: list[dict[str, Any]] = []
        self.columns: dict[str, list[NDArray[Any]]] = {"digests": [], "ids": [], "sizes": [], "scores": [], "signatures": []}

    def run(self) -> None:
        source = self.task.partition.source
        with (
            DocumentWriter(self.part.documents, CLEANED_SCHEMA, "lz4") as self.kept,
            DroppedWriter(self.part.dropped if self.config.keep_dropped else None) as self.dropped,
            SetAside(self.part.corrupt) as self.corrupt,
        ):
            for batch in grouped(self._read(), lambda document: len(document.text), _BATCH_CHARS, _BATCH_DOCUMENTS):
                self._clean(batch)
        permutations = self.config.near_dedup.permutations if self.config.near_dedup else 0
        empty = {
            "digests": np.zeros((0, 16), np.uint8),
            "ids": np.zeros((0, 16), np.uint8),
            "sizes": np.zeros(0, np.int64),
            "scores": np.zeros(0, np.float64),
            "signatures": np.zeros((0, permutations), np.uint32),
        }
        for name, blank in empty.items():
            if name != "signatures" or permutations:
                np.save(getattr(self.part, name), np.concatenate([blank, *self.columns[name]]))
        write_json(self.part.hits, self.hits)
        first = self.first_unusable
        write_json(
            self.part.account,
            {
                "source": source.name,
                "funnel": self.account.as_json(),
                "first_unusable": first
                and {"reason": first.reason, "bytes": first.bytes, "where": first.where, "detail": first.detail},
            },
        )

    def _read(self) -> Iterator[Document]:
        """Yield what can be read as documents; count and set aside the rest."""
        task = self.task
        for piece in task.partition.pieces:
            for item in read_piece(task.partition.source, piece, task.base, self.config.max_bytes, seed=task.seed):
                if isinstance(item, Dropped):
                    if item.reason in UNUSABLE and self.first_unusable is None:
                        self.first_unusable = item
                    self.account.read.add(item.bytes)
                    self.account.drop(item.reason, item.bytes)
                    self.dropped.write_record(task.partition.source.name, item)
                    if item.reason in CORRUPT:
                        self.corrupt.write(item)
                else:
                    self.account.read.add(utf8_bytes(item.text))
                    yield item

    def _clean(self, documents: list[Document]) -> None:
        batch = TextBatch(
            [document.text for document in documents],
            [document.language if _LANGUAGE.fullmatch(document.language) else UNKNOWN_LANGUAGE for document in documents],
            [document.id for document in documents],
        )
        for step in self.steps:
            if batch.alive_N.any():
                step(batch)
        for row in batch.rows:
            if utf8_bytes(batch.texts[row]) < self.config.min_bytes:
                batch.drop(row, "shorter than min_bytes")
        self.account.edits.update(batch.edits)
        if self.index is not None:
            self.hits += [
                {
                    "document": hit.name,
                    "benchmark": hit.benchmark,
                    "item": hit.number,
                    "words": hit.words,
                    "text": hit.text[:_HIT_CHARS],
                }
                for hit in decontaminate(batch, self.index)
            ]
        for row in np.flatnonzero(~batch.alive_N).tolist():
            document = documents[row]
            dropped = Dropped(batch.reasons[row] or "", utf8_bytes(document.text), document.where, batch.details[row])
            self.account.drop(dropped.reason, dropped.bytes)
            self.dropped.write_document(document, dropped)
        rows = batch.rows
        if self.config.near_dedup is not None and rows:
            words = hash_words([batch.texts[row] for row in rows])
            self.columns["signatures"].append(signatures(words, self.config.near_dedup, self.task.seed))
        self.columns["scores"].append(batch.scores.get("perplexity", np.full(len(batch), np.nan))[rows])
        self._write(documents, batch, rows)

    def _write(self, documents: list[Document], batch: TextBatch, rows: list[int]) -> None:
        source = self.task.partition.source.name
        digests, ids, sizes = [], [], []
        for row in rows:
            before, text = documents[row], batch.texts[row]
            digest = before.digest if text is before.text else digest_text(text)
            size = utf8_bytes(text)
            self.account.cleaned_bytes += utf8_bytes(before.text) - size
            self.kept.write(replace(before, text=text, language=batch.languages[row], digest=digest))
            digests.append(bytes.fromhex(digest[:32]))
            ids.append(bytes.fromhex(digest_text(f"{source}\0{before.id}")[:32]))
            sizes.append(size)
        self.columns["digests"].append(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16))
        self.columns["ids"].append(np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16))
        self.columns["sizes"].append(np.array(sizes, dtype=np.int64))
