"""What processes tell each other beside training, over a group that nothing else uses: facts to all, bytes to one.

The group's own methods are called, not `torch.distributed`'s functions, so that any gloo group will do.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import torch
from torch import Tensor
from torch.distributed import ProcessGroup

__all__ = ["CHUNK_BYTES", "exchange", "receive", "send", "tell_all"]

CHUNK_BYTES = 2**24
"""Bytes travel in pieces of this length: short enough to be written while the next is under way."""


def tell_all(group: ProcessGroup | None, value: Any) -> list[Any]:
    """Return what every rank brings (a JSON value), in the order of ranks. Collective; without a group, one's own."""
    if group is None:
        return [value]
    said = torch.frombuffer(bytearray(orjson.dumps(value)), dtype=torch.uint8)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(group.size())]
    group.allgather([lengths], [torch.tensor([len(said)])]).wait()
    longest = max(int(length) for length in lengths)
    everyone = [torch.empty(longest, dtype=torch.uint8) for _ in lengths]
    group.allgather([everyone], [torch.nn.functional.pad(said, (0, longest - len(said)))]).wait()
    return [orjson.loads(text[: int(length)].numpy().tobytes()) for text, length in zip(everyone, lengths, strict=True)]


def exchange(
    group: ProcessGroup | None,
    outgoing: Iterator[Tensor],
    to: int,
    incoming_bytes: int,
    source: int,
    take: Callable[[Tensor], None],
) -> None:
    """Send pieces of `CHUNK_BYTES` (uint8, the last shorter) to one rank while as many as there are come from another.

    A piece may be overwritten once the next is asked for, and what `take` is given once it returns. Raises `RuntimeError` when the
    other side is gone.
    """
    assert group is not None, "there is nobody to talk to"
    room = torch.empty(min(CHUNK_BYTES, incoming_bytes), dtype=torch.uint8)
    while True:
        piece = next(outgoing, None)
        sending = group.send([piece], to, 0) if piece is not None else None
        if incoming_bytes:
            arrived = room[: min(CHUNK_BYTES, incoming_bytes)]
            group.recv([arrived], source, 0).wait()
            incoming_bytes -= len(arrived)
            take(arrived)
        if sending is not None:
            sending.wait()
        elif not incoming_bytes:
            return


def send(group: ProcessGroup | None, data: Tensor, to: int) -> None:
    """Send bytes (uint8) to a rank that calls `receive` with their number."""
    exchange(group, (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)), to, 0, to, lambda _: None)


def receive(group: ProcessGroup | None, count: int, source: int) -> Tensor:
    """Return `count` bytes (uint8) that another rank sends."""
    data, arrived = torch.empty(count, dtype=torch.uint8), 0

    def take(piece: Tensor) -> None:
        nonlocal arrived
        data[arrived : arrived + len(piece)] = piece
        arrived += len(piece)

    exchange(group, iter(()), source, count, source, take)
    return data
