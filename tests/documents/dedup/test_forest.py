import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.dedup.forest import flatten, join


def plain(rows: int, edges: list[tuple[int, int]]) -> list[int]:
    names = list(range(rows))
    for a, b in edges:
        low, high = sorted((names[a], names[b]))
        names = [low if name == high else name for name in names]
    return names


def united(rows: int, batches: list[list[tuple[int, int]]]) -> list[int]:
    parent = np.arange(rows)
    for batch in batches:
        join(parent, np.array(batch, dtype=np.int64).reshape(-1, 2))
    flatten(parent)
    return parent.tolist()


EDGES = st.integers(1, 30).flatmap(
    lambda rows: st.tuples(st.just(rows), st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1)), max_size=40))
)


@given(EDGES, st.integers(1, 40))
def test_sets_are_those_of_a_plain_implementation_and_are_named_by_their_smallest_row(
    case: tuple[int, list[tuple[int, int]]], size: int
) -> None:
    rows, edges = case
    batches = [edges[begin : begin + size] for begin in range(0, len(edges), size)]
    assert united(rows, batches) == plain(rows, edges)
    assert united(rows, batches[::-1]) == plain(rows, edges)


def test_long_chains_are_one_set_in_any_order() -> None:
    rows = 200_000
    chain = np.stack((np.arange(rows - 1), np.arange(1, rows)), axis=1)
    for edges in (chain, chain[::-1], chain[np.random.default_rng(0).permutation(rows - 1)]):
        parent = np.arange(rows)
        for part in np.array_split(edges, 7):
            join(parent, part)
        flatten(parent)
        assert not parent.any()


def test_nothing_has_no_sets() -> None:
    assert united(0, [[]]) == []
