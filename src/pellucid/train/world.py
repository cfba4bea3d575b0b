"""The one place where the number of processes enters training: who we are, which sequences are ours, how figures become global."""

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from pellucid.core.errors import TrainingError, UsageError
from pellucid.core.signals import signals_handled

__all__ = ["World", "open_world", "started_together"]

# Longer than any stage's start or save takes, shorter than a night: a rank that waits this long waits for one that is gone.
_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes, `local_rank` of the `local_size` on this host.

    A step's sequences are dealt out in contiguous runs, so their union does not depend on `size`.

    `tensor_ways` neighbouring ranks get the same sequences: they share the work on each. The methods below `share` are collective:
    every rank calls them, in the same order. In a world of one they do nothing.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    tensor_ways: int = 1
    store: Store | None = None
    """What the processes of a larger world share beside collectives."""

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes what is written once."""
        return self.rank == 0

    def share(self, first: int, count: int) -> tuple[int, int]:
        """Return this rank's part of `count` sequences from `first` on, as first and count. Parts differ by at most one."""
        number, shares = self.rank // self.tensor_ways, self.size // self.tensor_ways
        begin, end = count * number // shares, count * (number + 1) // shares
        return first + begin, end - begin

    def check_batch(self, batch_seqs: int, micro_seqs: int | None) -> None:
        """Raise `UsageError` unless every rank gets as many sequences (whole micro-batches of `micro_seqs` when given)."""
        if self.size % self.tensor_ways:
            raise UsageError(
                f"parallel.tensor_ways is {self.tensor_ways}, and {self.size} processes were started: it must divide them. "
                "Start another number of processes, or change tensor_ways."
            )
        shares = self.size // self.tensor_ways
        unit = shares * (micro_seqs or 1)
        if batch_seqs % unit:
            below, above = batch_seqs // unit * unit, -(-batch_seqs // unit) * unit
            why = f"{self.size} ranks"
            if self.tensor_ways > 1:
                why += f" / tensor_ways {self.tensor_ways}"
            if micro_seqs:
                why += f" · micro_seqs {micro_seqs} (exact: true keeps micro-batches whole)"
            near = " or ".join(str(count) for count in (below, above) if count)
            raise UsageError(
                f"the batch has {batch_seqs} sequences, which cannot be dealt out evenly to {why}; nearest: {near}. "
                "Change batch_tokens, or start another number of processes."
            )

    def gather(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return every rank's rows (N, K), float64, in the order of ranks: (size·N, K). N and K are the same everywhere."""
        if self.size == 1:
            return rows
        mine = torch.from_numpy(np.ascontiguousarray(rows)).to(_device())
        everyone = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(everyone, mine)
        return torch.cat(everyone).cpu().numpy()

    def gather_step(self, rows: NDArray[np.float64], own: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rows (B, K) of every share of a step, once each, in the order of sequences, and every rank's `own` (K)."""
        both = self.gather(np.vstack([rows, own])).reshape(self.size, len(rows) + 1, -1)
        return both[:: self.tensor_ways, :-1].reshape(-1, len(own)), both[:, -1]

    def everyone(self, value: Any) -> list[Any]:
        """Return every rank's value, in the order of ranks; values must be picklable."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def wait_for_first(self, what: str) -> None:
        """Wait until the first rank has come here, however long its own work takes: collectives would time out."""
        if self.size == 1:
            return
        assert self.store is not None
        if self.is_first:
            self.store.set(f"pellucid/done/{what}", "")
        while not self.store.check([f"pellucid/done/{what}"]):
            time.sleep(1.0)

    def tell(self, value: Any) -> Any:
        """Return the first rank's value, which must be picklable."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def started_together() -> int:
    """Return how many processes torchrun started for this command; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def open_world() -> Iterator[World]:
    """Join the processes that torchrun started, and leave them at the end; a world of one when there are no others.

    Collectives go through NCCL for tensors on a GPU and through gloo for those on the CPU. Sets the GPU of this process.
    """
    size = started_together()
    if size == 1:
        yield World()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # Python's handlers wait for the call they interrupt; one that waits for a process that is gone must die of the signal instead.
    with signals_handled(signal.SIG_DFL, signal.SIGTERM):
        store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
        ours = _meet(store, rank, size)
        dist.init_process_group(backend, store=ours, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        local = {"local_rank": int(os.environ.get("LOCAL_RANK", rank)), "local_size": int(os.environ.get("LOCAL_WORLD_SIZE", size))}
        yield World(rank, size, **local, store=ours)
        dist.barrier()  # who leaves first breaks connections that others still use
    finally:
        dist.destroy_process_group()


def _meet(store: Store, rank: int, size: int) -> Store:
    """Return a part of the store that only the processes of this start share.

    torchrun keeps one store for all restarts, where a process can find the addresses of its killed predecessors and fail to reach
    them. So every process says hello under a name that was never used; the first answers each with the name of this meeting, as
    long as someone has not confirmed it: a hello of a predecessor is answered too, and the answer read by no one.
    """
    meeting, me = uuid.uuid4().hex, uuid.uuid4().hex
    if rank:
        store.set(f"pellucid/hello/{rank}", me)
        meeting = store.get(f"pellucid/answer/{me}").decode()
        store.set(f"pellucid/confirmed/{meeting}/{rank}", "")
    missing = set(range(1, size)) if rank == 0 else set()
    deadline = time.monotonic() + _TIMEOUT.total_seconds()
    while missing:
        for other in sorted(missing):
            hello = f"pellucid/hello/{other}"
            if store.check([hello]):
                store.set(f"pellucid/answer/{store.get(hello).decode()}", meeting)
        missing = {other for other in missing if not store.check([f"pellucid/confirmed/{meeting}/{other}"])}
        if time.monotonic() > deadline:
            raise TrainingError(f"ranks {sorted(missing)} did not come within {_TIMEOUT}")
        time.sleep(0.02)
    return PrefixStore(f"pellucid/{meeting}", store)


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
