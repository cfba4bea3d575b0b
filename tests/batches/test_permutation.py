import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.permutation import mix, permute


def whole(size: int, key: int) -> np.ndarray:
    return permute(np.arange(size), np.full(size, size), np.full(size, key, dtype=np.uint64))


def chi_square(counts: np.ndarray) -> float:
    """Distance from uniform in standard deviations of the chi-square distribution."""
    expected = counts.mean()
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
@settings(max_examples=200, deadline=None)
def test_every_index_appears_exactly_once(size: int, key: int) -> None:
    assert np.array_equal(np.sort(whole(size, key)), np.arange(size))


def test_every_size_up_to_300_is_permuted() -> None:
    for size in range(1, 301):
        assert np.array_equal(np.sort(whole(size, 7 * size)), np.arange(size))


@given(st.lists(st.tuples(st.integers(1, 2**62), st.integers(0, 2**64 - 1), st.floats(0, 1, exclude_max=True)), max_size=30))
@settings(deadline=None)
def test_sizes_and_keys_are_elementwise_and_alone_or_together_give_the_same(cases: list[tuple[int, int, float]]) -> None:
    size_N = np.array([size for size, _, _ in cases], dtype=np.int64)
    key_N = np.array([key for _, key, _ in cases], dtype=np.uint64)
    index_N = np.array([min(int(frac * size), size - 1) for size, _, frac in cases], dtype=np.int64)
    together = permute(index_N, size_N, key_N)
    assert np.all((together >= 0) & (together < size_N))
    for n in range(len(cases)):
        assert permute(index_N[n : n + 1], size_N[n : n + 1], key_N[n : n + 1])[0] == together[n]


def test_the_permutation_is_the_same_on_every_machine_and_version() -> None:
    assert whole(10, 1).tolist() == [4, 6, 9, 1, 2, 5, 8, 7, 3, 0]
    assert whole(1_000_003, 2**63 + 5)[:6].tolist() == [801055, 386580, 559290, 375507, 594753, 509689]
    assert mix(np.array([0, 1], dtype=np.uint64)).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]


def test_each_index_lands_anywhere_with_equal_chance_over_keys() -> None:
    size, keys = 20, 4000
    key_N = np.repeat(mix(np.arange(keys, dtype=np.uint64)), size)
    landed = permute(np.tile(np.arange(size), keys), np.full(size * keys, size), key_N).reshape(keys, size)
    counts = np.stack([np.bincount(landed[:, index], minlength=size) for index in range(size)])
    assert abs(chi_square(counts)) < 5


def test_neighbours_do_not_stay_neighbours() -> None:
    size, bins = 100_000, 20
    moved = whole(size, 3)
    step = (moved[1:] - moved[:-1]) % size
    assert abs(chi_square(np.bincount(step * bins // size, minlength=bins))) < 5
    pairs = (moved[:-1] * bins // size) * bins + moved[1:] * bins // size
    assert abs(chi_square(np.bincount(pairs, minlength=bins * bins))) < 5


def test_two_keys_agree_no_more_often_than_chance() -> None:
    size = 50_000
    assert (whole(size, 1) == whole(size, 2)).sum() < 10
    assert (whole(size, 1) == np.arange(size)).sum() < 10
