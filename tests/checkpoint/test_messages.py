import random
from typing import Any

import pytest
import torch

from pellucid.checkpoint import messages
from pellucid.checkpoint.messages import exchange, receive, send, tell_all


def data_of(rank: int) -> torch.Tensor:
    return torch.tensor(list(random.Random(rank).randbytes((0, 1, 64, 1000)[rank])), dtype=torch.uint8)


def test_facts_reach_everyone_and_bytes_the_one_they_are_for(together: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "CHUNK_BYTES", 64)

    def talk(rank: int, group: Any) -> tuple[list[Any], torch.Tensor, torch.Tensor | None]:
        said = tell_all(group, {"rank": rank, "words": "ä" * rank})
        to, source = (rank + 1) % 4, (rank - 1) % 4
        arrived: list[torch.Tensor] = []
        pieces = iter(data_of(rank).split(64)) if rank else iter(())
        exchange(group, pieces, to, len(data_of(source)), source, lambda piece: arrived.append(piece.clone()))
        if rank == 3:
            send(group, data_of(3), 1)
        got = receive(group, 1000, 3) if rank == 1 else None
        return said, torch.cat(arrived) if arrived else torch.empty(0, dtype=torch.uint8), got

    for rank, (said, arrived, got) in enumerate(together(4, talk)):
        assert said == [{"rank": other, "words": "ä" * other} for other in range(4)]
        assert torch.equal(arrived, data_of((rank - 1) % 4))
        assert got is None or torch.equal(got, data_of(3))


def test_alone_one_hears_oneself() -> None:
    assert tell_all(None, "x") == ["x"]
