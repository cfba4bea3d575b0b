import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.train.world import World, open_world, started_together


@given(first=st.integers(0, 10**12), count=st.integers(0, 5000), size=st.integers(1, 64))
def test_ranks_share_a_step_in_contiguous_parts_that_differ_by_at_most_one(first: int, count: int, size: int) -> None:
    parts = [World(rank, size).share(first, count) for rank in range(size)]
    position = first
    for begin, length in parts:
        assert begin == position
        position += length
    assert position == first + count
    lengths = [length for _, length in parts]
    assert max(lengths) - min(lengths) <= 1


def test_a_world_of_one_is_its_own_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert started_together() == 1
    with open_world() as world:
        assert world.is_first and (world.rank, world.size, world.local_rank, world.local_size) == (0, 1, 0, 1)
        assert world.tell({"a": 1}) == {"a": 1}
        rows, own = np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])
        assert np.array_equal(world.gather(rows), rows)
        assert [found.tolist() for found in world.gather_step(rows, own)] == [rows.tolist(), [own.tolist()]]
        assert [found.tolist() for found in world.gather_step(np.empty((0, 2)), own)] == [[], [own.tolist()]]


def test_a_batch_that_cannot_be_dealt_out_evenly_is_refused_with_the_nearest() -> None:
    World(0, 4).check_batch(8, None)
    World(0, 4).check_batch(8, 2)
    with pytest.raises(UsageError, match=r"the batch has 6 sequences.*4 ranks; nearest: 4 or 8"):
        World(0, 4).check_batch(6, None)
    with pytest.raises(UsageError, match=r"4 ranks · micro_seqs 4 .*; nearest: 16\."):
        World(0, 4).check_batch(8, 4)
