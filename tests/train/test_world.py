from hypothesis import given
from hypothesis import strategies as st

from pellucid.train.world import World


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
