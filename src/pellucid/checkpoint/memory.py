"""The safety net in memory: each rank's part of the training state, in RAM that outlives the process, and again on another host.

A process that is killed takes its memory along, files in a RAM file system stay; a host that is gone takes those along, too, and
its parts are still on the hosts of its ranks' peers. Both copies are made beside training (`slots.py` has the folder's rules).
"""

import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed import ProcessGroup

from pellucid.checkpoint.messages import CHUNK_BYTES, exchange, receive, send, tell_all
from pellucid.checkpoint.part import Part, Snapshot, local_state
from pellucid.checkpoint.slots import Held, Slots, SlotWriter, is_own_folder, open_own_folder, read_slot
from pellucid.checkpoint.staging import HostCopy
from pellucid.core.errors import PellucidWarning
from pellucid.core.metrics import read_metrics

__all__ = ["MemorySnapshots", "Seat"]

Place = tuple[int, dict[str, Any]]
"""Who can read a part, and where: a rank and an entry of what it sees."""


@dataclass(frozen=True)
class Seat:
    """Where a process sits: its rank among all, and among those of its host."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


class MemorySnapshots:
    """Keeps the newest snapshots of one stage in `folder` (see `ram_folder`), one at a time, in a thread.

    All methods but `close` and `forget` are collective when there is a `group`, which nothing else may use. `log` is the stage's
    metrics file: a snapshot is only good with the lines of its steps, so it is on the disk before the snapshot counts, and what is
    newer than the log belongs to another attempt. Snapshots of another `identity` or number of ranks are passed over. With `alike`
    every rank holds the whole state: one rank of each host keeps it, and nothing needs to be sent.
    """

    def __init__(
        self, folder: Path, log: Path, identity: str, seat: Seat, group: ProcessGroup | None, *, alike: bool = False
    ) -> None:
        self._folder, self._log, self._seat, self._group = folder, log, seat, group
        self._identity = f"{identity} {seat.size} {'alike' if alike else 'parts'}"
        self._parts = [0] * seat.size if alike else list(range(seat.size))
        self._part = self._parts[seat.rank]
        self._keeps = not alike or seat.local_rank == 0
        # The peer sits on the next host; every rank must count alike.
        shift = max(tell_all(group, seat.local_size))
        shift = shift if shift < seat.size else 1
        self._to, self._source = (seat.rank + shift) % seat.size, (seat.rank - shift) % seat.size
        self._sends = not alike and seat.size > 1
        self._holder = folder / f"holder-{seat.local_rank:05d}"
        self._copy = HostCopy()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="memory")
        self._pending: Future[str] | None = None
        self._kept: int | None = None
        self._off = False

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Copy `state` as it is now, and begin to keep it as the snapshot of `step`, in place of the last but one.

        Waits for the snapshot before. When that one found too little room, or could not be kept, there is a `PellucidWarning`; in
        the first case no more are made. What broke in the group's collectives is raised.
        """
        self.wait()
        if self._off:
            return
        part = None
        if self._keeps:
            tensors, metadata = local_state(state)
            part = Part(self._copy.take(tensors), metadata)
        self._pending = self._thread.submit(self._keep, step, part)

    def wait(self) -> None:
        """Wait until the snapshot that was begun is kept by every rank."""
        pending, self._pending = self._pending, None
        self._tell(pending.result() if pending is not None else "")

    def newest(self, after: int) -> Snapshot | None:
        """Return the newest snapshot beyond step `after` of which every rank's part is whole somewhere; None when there is none.

        Parts are read from this host where it has them, and sent by the first rank that has them otherwise. A damaged one is passed
        over with a `PellucidWarning`.
        """
        logged = max((record["step"] for record in read_metrics(self._log)), default=0) if self._seat.rank == 0 else 0
        everyone = tell_all(self._group, {"logged": logged, "sees": self._look()})
        within = range(after + 1, max(said["logged"] for said in everyone) + 1)
        sees = [[entry for entry in said["sees"] if entry["step"] in within] for said in everyone]
        while (plan := _plan(sees, self._parts)) is not None:
            mine = {place[1]["path"]: place[1] for place in plan if place[0] == self._seat.rank}
            read = {path: read_slot(Path(path), _held(entry)) for path, entry in mine.items()}
            damaged = [path for path, data in read.items() if data is None]
            for path in damaged:
                warnings.warn(f"the snapshot {path} is damaged and passed over", PellucidWarning, stacklevel=2)
            everyones = tell_all(self._group, damaged)
            if not any(everyones):
                return self._hand_round(plan, {path: data for path, data in read.items() if data is not None})
            sees = [[entry for entry in entries if entry["path"] not in bad] for entries, bad in zip(sees, everyones, strict=True)]
        return None

    def forget(self, keep: int | None = None) -> None:
        """Take this rank's snapshots out of the count, all but those of step `keep`: training goes on from there."""
        self.wait()
        self._kept = keep
        for holder in self._holders():
            for folder in holder.glob("part-*"):
                Slots(folder).forget(keep)

    def close(self, *, remove: bool) -> None:
        """Let what was begun come to its end; with `remove`, take this rank's snapshots away for good."""
        self._thread.shutdown()
        # What broke in a collective broke training, too, and is told there.
        if self._pending is not None and self._pending.exception() is None:
            self.wait()
        self._copy.close()
        if remove:
            self._remove()

    def _tell(self, problem: str) -> None:
        if problem and self._seat.rank == 0:
            warnings.warn(problem, PellucidWarning, stacklevel=4)

    def _holders(self) -> list[Path]:
        """The folders that this rank answers for: its own, and the first also for ranks that this host had once."""
        if not is_own_folder(self._folder):
            return []
        others = self._folder.glob("holder-*") if self._seat.local_rank == 0 else ()
        return [self._holder, *(other for other in others if int(other.name.removeprefix("holder-")) >= self._seat.local_size)]

    def _remove(self) -> None:
        holders = self._holders()
        for holder in holders:
            shutil.rmtree(holder, ignore_errors=True)
        if holders:
            with suppress(OSError):  # the last one out
                self._folder.rmdir()

    def _sweep(self) -> None:
        """Remove what another layout left. Not before there is a whole snapshot of this one: until then it may be the only copy."""
        wanted = {self._slots(part).folder for part in self._mine()}
        for folder in (folder for holder in self._holders() for folder in holder.glob("part-*")):
            if folder not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _mine(self) -> dict[int, int]:
        """The parts that this rank keeps, and who brings each: its own, and that of the rank whose peer it is."""
        own = {self._part: self._seat.rank} if self._keeps else {}
        return own | ({self._source: self._source} if self._sends else {})

    def _slots(self, part: int) -> Slots:
        return Slots(self._holder / f"part-{part:05d}")

    def _keep(self, step: int, part: Part | None) -> str:
        """Write a part here and on the peer; return what went wrong on any rank, the same everywhere.

        Every rank says how it fared before the next snapshot may begin: a slot is written again only when all have the other one.
        """
        lengths = tell_all(self._group, part.bytes if part is not None else 0)
        with ExitStack() as stack:
            writers: dict[int, SlotWriter] = {}
            problem = _problem(lambda: self._open(writers, lengths, stack))
            if problem := self._first(problem):
                self._off = True
                if self._kept is None:  # what was reserved
                    self._remove()
                return (
                    f"no snapshots are kept in memory ({problem}): a run that loses a process goes back to the last checkpoint on "
                    "disk. Give the RAM file system more room, name another with PELLUCID_MEMORY_DIR, or set "
                    "checkpoint.memory_every_steps to 0"
                )
            digests = tell_all(self._group, self._pass_on(part, writers, lengths))
            mine = self._mine()
            held = {number: Held(number, step, self._identity, lengths[rank], digests[rank]) for number, rank in mine.items()}
            problem = _problem(lambda: self._seal(writers, held))
        if problem := self._first(problem):
            return f"the snapshot of step {step} could not be kept in memory ({problem}); the next one will be tried"
        self._kept = step
        self._sweep()
        return ""

    def _first(self, problem: str) -> str:
        """The first problem that any rank has; empty when none has one."""
        return next(filter(None, tell_all(self._group, problem)), "")

    def _open(self, writers: dict[int, SlotWriter], lengths: list[int], stack: ExitStack) -> None:
        for number, rank in self._mine().items():
            open_own_folder(self._folder)
            open_own_folder(self._holder)
            writers[number] = stack.enter_context(closing(SlotWriter(self._slots(number), lengths[rank], self._kept)))

    def _pass_on(self, part: Part | None, writers: dict[int, SlotWriter], lengths: list[int]) -> str:
        """Write our own part and send it, receive and write the other one; return the sha256 of ours."""
        digest = sha256()

        def outgoing() -> Iterator[Tensor]:
            for chunk in part.chunks(CHUNK_BYTES) if part is not None else ():
                digest.update(chunk.numpy().data)
                writers[self._part].append(chunk)
                yield chunk

        if self._sends:
            exchange(self._group, outgoing(), self._to, lengths[self._source], self._source, writers[self._source].append)
        else:
            deque(outgoing(), maxlen=0)
        return digest.hexdigest()

    def _seal(self, writers: dict[int, SlotWriter], held: dict[int, Held]) -> None:
        for number, writer in writers.items():
            writer.finish(held[number])
        if self._seat.rank == 0 and self._log.is_file():
            with self._log.open("rb") as log:
                os.fsync(log.fileno())

    def _look(self) -> list[dict[str, Any]]:
        """What lies on this host, this rank's own folder first: ranks may have changed places."""
        if not is_own_folder(self._folder):
            return []
        holders = sorted(self._folder.glob("holder-*"), key=lambda holder: (holder != self._holder, holder.name))
        kept = [found for holder in holders for folder in sorted(holder.glob("part-*")) for found in Slots(folder).held()]
        return [{"path": str(path), **asdict(held)} for path, held in kept if held.identity == self._identity]

    def _hand_round(self, plan: list[Place], read: dict[str, Tensor]) -> Snapshot:
        """Send each rank's part to it, one after the other, and return one's own."""
        own: Tensor | None = None
        for rank, (provider, entry) in enumerate(plan):
            if rank == provider == self._seat.rank:
                own = read[entry["path"]]
            elif provider == self._seat.rank:
                send(self._group, read[entry["path"]], rank)
            elif rank == self._seat.rank:
                own = receive(self._group, entry["bytes"], provider)
        assert own is not None
        return Snapshot(plan[0][1]["step"], own)


def _plan(sees: list[list[dict[str, Any]]], parts: list[int]) -> list[Place] | None:
    """Return where each rank gets its part of the newest step that is there as a whole: from itself, or the first that sees it."""
    where: dict[tuple[int, int], dict[int, dict[str, Any]]] = {}
    for rank, entries in enumerate(sees):
        for entry in entries:
            where.setdefault((entry["step"], entry["part"]), {}).setdefault(rank, entry)
    for step in sorted({step for step, _ in where}, reverse=True):
        seen = [where.get((step, part), {}) for part in parts]
        if all(seen):
            providers = [rank if rank in by_rank else min(by_rank) for rank, by_rank in enumerate(seen)]
            return [(provider, by_rank[provider]) for provider, by_rank in zip(providers, seen, strict=True)]
    return None


def _problem(action: Callable[[], None]) -> str:
    """Do something and return what the system had against it, in words."""
    try:
        action()
    except OSError as error:
        return str(error)
    return ""


def _held(entry: dict[str, Any]) -> Held:
    return Held(**{name: value for name, value in entry.items() if name != "path"})
