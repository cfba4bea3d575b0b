import numpy as np

from pellucid.core.hashing import mix


def test_mixing_is_splitmix64() -> None:
    # The first outputs of splitmix64 seeded with 0 and 1234567, as in its reference implementation.
    assert mix(np.array([0], dtype=np.uint64))[0] == 0xE220A8397B1DCDAF
    assert mix(np.array([1234567], dtype=np.uint64))[0] == 6457827717110365317


def test_mixing_leaves_its_input_alone_and_has_no_collisions() -> None:
    numbers = np.arange(100_000, dtype=np.uint64)
    mixed = mix(numbers)
    assert len(np.unique(mixed)) == 100_000 and np.array_equal(numbers, np.arange(100_000))
