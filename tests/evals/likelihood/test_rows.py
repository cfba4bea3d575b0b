import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.likelihood.rows import Row, common_prefix, lay_out

sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple), min_size=1, max_size=12, unique=True)


def sequence_of(row: Row, number: int, stem: tuple[int, ...]) -> tuple[int, ...]:
    return (*stem, *row.ids_T[row.paths[number]].tolist())


@given(sequences, st.integers(1, 30), st.integers(1, 64))
def test_every_sequence_stands_in_one_row_with_its_tokens_in_order(
    found: list[tuple[int, ...]], row_tokens: int, hidden: int
) -> None:
    stems = lay_out(found, [len(one) - 1 for one in found], row_tokens, hidden)
    seen = []
    for stem in stems:
        for row in stem.rows:
            assert row.tokens <= max(row_tokens, *(len(found[member]) for member in row.members))
            for number, member in enumerate(row.members):
                seen.append(member)
                assert sequence_of(row, number, stem.ids) == found[member]
                assert row.positions_T[row.paths[number]].tolist() == list(range(len(stem.ids), len(found[member])))
    assert sorted(seen) == list(range(len(found)))


@given(sequences)
def test_a_token_sees_itself_and_what_stands_before_it_in_its_sequence(found: list[tuple[int, ...]]) -> None:
    for stem in lay_out(found, [len(one) - 1 for one in found], 1000, 1_000_000):
        for row in stem.rows:
            mask_TT = row.mask()
            for path in row.paths:
                for place, node in enumerate(path):
                    assert np.flatnonzero(mask_TT[node]).tolist() == sorted(path[: place + 1].tolist())


def test_a_shared_beginning_is_laid_out_once() -> None:
    context = tuple(range(50))
    (stem,) = lay_out([(*context, 60, 61), (*context, 70), (*context, 60, 62)], [49, 49, 49], 1000, 64)
    (row,) = stem.rows
    assert stem.ids == ()
    assert row.tokens == 50 + 4


def test_rows_behind_the_same_examples_hang_from_one_stem() -> None:
    shots = tuple(range(200))
    found = [(*shots, *range(300 + 50 * k, 340 + 50 * k)) for k in range(6)]
    (stem,) = lay_out(found, [239] * 6, 250, 64)
    assert stem.ids == shots
    assert sum(row.tokens for row in stem.rows) == 6 * 40


def test_tokens_that_are_scored_stay_in_their_row() -> None:
    shots = tuple(range(200))
    found = [(*shots, *range(300 + 100 * k, 360 + 100 * k)) for k in range(2)]
    (stem,) = lay_out(found, [150, 199], 201, 64)
    assert len(stem.ids) == 150
    assert [len(row.ids_T) for row in stem.rows] == [110, 110]


def test_little_in_common_joins_nothing() -> None:
    found = [(1, *range(100 * k, 100 * k + 60)) for k in range(1, 4)]
    assert [len(stem.rows) for stem in lay_out(found, [59] * 3, 1000, 8)] == [1, 1, 1]


def test_common_prefix() -> None:
    assert common_prefix((1, 2, 3), (1, 2, 4)) == 2
    assert common_prefix((1, 2), (1, 2, 4)) == 2
    assert common_prefix((), (1,)) == 0


def test_choices_behind_a_context_longer_than_a_row_share_it_and_the_rest_stays_small() -> None:
    context = tuple(range(1500))
    ends = [tuple(range(2000 + 100 * k, 2040 + 100 * k)) for k in range(4)]
    (stem,) = lay_out([context + end for end in ends], [1499] * 4, 1024, 576)
    (row,) = stem.rows
    assert row.tokens == 1500 + 4 * 40 and not stem.ids
    (stem,) = lay_out([(*context, *range(2000 + 200 * k, 2150 + 200 * k)) for k in range(6)], [1499] * 6, 1024, 576)
    assert len(stem.ids) == 1499 and all(row.tokens <= 257 for row in stem.rows)
