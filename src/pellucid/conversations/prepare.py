"""All sources of conversations → `SOURCE/{train,heldout}/` as training reads them, and the funnel."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.conversations.chunks import DROP, HELDOUT, REFUSED, TRAIN, EncodedChunk, EncodeTask, encode_chunk
from pellucid.conversations.encode import Encode
from pellucid.conversations.funnel import SPLITS, Funnel, SourceFunnel
from pellucid.conversations.read import UNUSABLE, Chunk, Found, Kept, ReadTask, find_source, read_piece
from pellucid.conversations.store import ExampleWriter
from pellucid.core.errors import DataError
from pellucid.core.processes import run_tasks
from pellucid.core.progress import ProgressBar, progress
from pellucid.documents.document import Dropped
from pellucid.documents.reader import CORRUPT, mending
from pellucid.recipe.conversations import ConversationConfig

__all__ = ["FUNNEL", "Preparation", "prepare_conversations"]

FUNNEL = "funnel.json"
_WORK = ".work.part"
_PIECE_BYTES = 32_000_000

# Below these, starting processes takes longer than the work: input to read, and messages to encode.
_PARALLEL_FROM_BYTES = 64 << 20
_PARALLEL_ENCODING_FROM_BYTES = 4 << 20


@dataclass(frozen=True)
class Preparation:
    """What the library is not to know: who encodes, and how many tokens an example of a source may have.

    `open_encode` is sent to other processes, so it is a module's function, or a partial of one; what it gives may raise `DataError`
    for a conversation and `UsageError` for all. `limit_tokens` is asked for a source and whether it holds pairs; it may raise when
    no stage can use that.
    """

    open_encode: Callable[[], Encode]
    limit_tokens: Callable[[ConversationConfig, bool], int]
    max_bytes: int
    workers: int


def prepare_conversations(sources: Sequence[ConversationConfig], base: Path, out: Path, how: Preparation) -> Funnel:
    """Write every source's examples below `out` as SOURCE/{train,heldout}, and the funnel as funnel.json, last.

    `base` is the folder that the sources' paths are relative to. The bytes written do not depend on the number of workers. What a
    killed call left is thrown away. Of all records only digests are held, and one source's ids.

    A question that one source holds out is held out in every source that asks it. Of equal examples the first that is written
    stays, so what a source drops for reasons of its own makes none in a later one a duplicate.

    Raises `DataError` when a source cannot be found or read, when most of its records are not what the recipe says, when the chat
    template refuses most of its conversations, and when nothing of it is left to train on; source and record are named.
    """
    assert len({source.name for source in sources}) == len(sources), "source names are folders and must differ"
    (out / FUNNEL).unlink(missing_ok=True)
    work = out / _WORK
    shutil.rmtree(work, ignore_errors=True)
    found = [find_source(source, base, _PIECE_BYTES, how.max_bytes) for source in sources]
    limits = [how.limit_tokens(one.source, one.is_pairs) for one in found]
    kept = _read(found, work, how)
    sifted = [
        _Sifted(one, [chunk for part in parts for chunk in part.chunks], _account(one, parts, limit))
        for one, parts, limit in zip(found, kept, limits, strict=True)
    ]
    heldout = _heldout_questions(sifted)
    written: dict[bool, set[bytes]] = {True: set(), False: set()}
    with progress("conversations: encoding", sum(one.examples for one in sifted), "examples") as bar:
        for source in sifted:
            same_kind = written[source.found.is_pairs]
            same_kind |= _write(source, _decide(source, same_kind, heldout), how, out, bar)
    shutil.rmtree(work, ignore_errors=True)
    funnel = Funnel({one.found.source.name: one.account for one in sifted})
    funnel.write(out / FUNNEL)
    return funnel


@dataclass(frozen=True)
class _Sifted:
    """A source that was read: its chunks, and its account so far."""

    found: Found
    chunks: Sequence[Chunk]
    account: SourceFunnel

    @property
    def examples(self) -> int:
        return sum(chunk.examples for chunk in self.chunks)


def _read(found: Sequence[Found], work: Path, how: Preparation) -> list[list[Kept]]:
    """Read all pieces of all sources; return what each gave, by source and in order."""
    tasks: list[ReadTask] = []
    for one in found:
        for piece in one.pieces:
            tasks.append(ReadTask(one, piece, how.max_bytes, work / f"{len(tasks):06d}"))
    total = sum(task.piece.bytes for task in tasks)
    workers = how.workers if total >= _PARALLEL_FROM_BYTES else 1
    results: dict[int, Kept] = {}
    with progress("conversations: reading", total, "B") as bar:
        for number, result in run_tasks(read_piece, tasks, workers):
            results[number] = result
            bar.advance(tasks[number].piece.bytes)
    in_order = iter(range(len(tasks)))
    return [[results[next(in_order)] for _ in one.pieces] for one in found]


def _account(found: Found, parts: Sequence[Kept], limit_tokens: int) -> SourceFunnel:
    """Add up a source's pieces; raise `DataError` when most of its records are not what the recipe says."""
    account = SourceFunnel(found.shape, limit_tokens)
    for part in parts:
        account.read += part.read
        account.drops.merge(part.drops)
        account.edits += part.edits
    counts = account.drops.counts
    account.corrupt = sum(counts[reason] for reason in CORRUPT)
    first = next((part.first_unusable for part in parts if part.first_unusable), None)
    unusable = {reason: counts[reason] for reason in sorted(UNUSABLE) if counts[reason]}
    if first is not None and 2 * sum(unusable.values()) > account.read:
        raise _unusable(found, account.read, unusable, first)
    return account


def _unusable(found: Found, read: int, unusable: dict[str, int], first: Dropped) -> DataError:
    reasons = ", ".join(f"{reason}: {count}" for reason, count in unusable.items())
    otherwise = f"Records were read as shape {found.shape}: name another shape, or what its fields are called, or mend the files"
    return DataError(
        f"source {found.source.name!r}: {sum(unusable.values())} of {read} records cannot be used, more than half ({reasons}). "
        f"The first is {first.where}, which {first.detail}. {mending(first, otherwise)}"
    )


def _heldout_questions(sources: Sequence[_Sifted]) -> set[bytes]:
    """Return the digests of all questions that a source holds out by its own share."""
    chunks = [chunk for one in sources for chunk in one.chunks]
    return {chunk.question(row) for chunk in chunks for row in range(chunk.examples) if chunk.heldout[row]}


def _decide(source: _Sifted, written: set[bytes], heldout: set[bytes]) -> list[bytearray]:
    """Return what becomes of each example of each chunk: the first of equal ones stays, and no more than `max_examples`."""
    most, counts = source.found.source.max_examples, source.account.drops.counts
    repeated = "duplicate pair" if source.found.is_pairs else "duplicate conversation"
    fates = [
        bytearray(HELDOUT if chunk.question(row) in heldout else TRAIN for row in range(chunk.examples)) for chunk in source.chunks
    ]
    own: set[bytes] = set()
    stay: list[tuple[bytes, int, int]] = []
    for number, chunk in enumerate(source.chunks):
        for row in range(chunk.examples):
            digest = chunk.digest(row)
            if digest in written or digest in own:
                fates[number][row] = DROP
                counts[repeated] += 1
            else:
                own.add(digest)
                stay.append((digest, number, row))
    for _, number, row in sorted(stay)[most:] if most is not None else ():
        fates[number][row] = DROP
        counts["more than max_examples"] += 1
    return fates


def _write(source: _Sifted, fates: Sequence[bytearray], how: Preparation, out: Path, bar: ProgressBar) -> set[bytes]:
    """Encode what stays of a source, write both its splits, and return the digests of what was written.

    Raises `DataError` when nothing is left to train on.
    """
    config, account = source.found.source, source.account
    tasks = [
        EncodeTask(config.name, chunk.file, bytes(fate), account.limit_tokens, how.open_encode)
        for chunk, fate in zip(source.chunks, fates, strict=True)
    ]
    workers = how.workers if sum(chunk.size_bytes for chunk in source.chunks) >= _PARALLEL_ENCODING_FROM_BYTES else 1
    results: dict[int, EncodedChunk] = {}
    for number, result in run_tasks(encode_chunk, tasks, workers):
        results[number] = result
        bar.advance(source.chunks[number].examples)
    each = 2 if source.found.is_pairs else 1
    writers = {split: ExampleWriter(out / config.name / split, each) for split in SPLITS}
    digests: set[bytes] = set()
    for number, chunk in enumerate(source.chunks):
        account.drops.merge(results[number].drops)
        for row, (sequences, fate, about, values) in zip(results[number].rows, results[number].examples(each), strict=True):
            split = "heldout" if fate == HELDOUT else "train"
            writers[split].add(sequences, about, values)
            account.splits[split].add(about["truncated_tokens"])
            account.heldout_elsewhere += fate == HELDOUT and not chunk.heldout[row]
            digests.add(chunk.digest(row))
    for split, writer in writers.items():
        written = writer.close()
        account.splits[split].tokens, account.splits[split].target_tokens = written.tokens, written.target_tokens
    assert account.is_whole, f"{config.name}: {account.as_json()}"
    _check_left(config, account)
    return digests


def _check_left(source: ConversationConfig, account: SourceFunnel) -> None:
    refused, left = account.drops.counts[REFUSED], sum(amount.examples for amount in account.splits.values())
    if refused > left:
        first = account.drops.shown[REFUSED][0]
        raise DataError(
            f"source {source.name!r}: the chat template refuses {refused} of {refused + left} conversations. The first is "
            f"{first['where']}, which {first['detail']}. Choose another template, or leave the source out"
        )
    if not account.splits["train"].examples:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(account.drops.counts.items())) or "all are held out"
        raise DataError(
            f"source {source.name!r}: none of its {account.read} records is left to train on ({reasons}). "
            "Change what drops them, or leave the source out"
        )
