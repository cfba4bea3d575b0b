import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.documents.dedup.exact import find_repeats

Save = Callable[..., list[Path]]


def digests(values: list[int]) -> NDArray[np.uint8]:
    return np.array([list(hashlib.sha256(b"%d" % value).digest()) for value in values], dtype=np.uint8).reshape(-1, 32)


def firsts(values: list[int]) -> list[int]:
    seen: dict[int, int] = {}
    return [seen.setdefault(value, row) for row, value in enumerate(values)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=60), st.lists(st.integers(0, 60), max_size=4), st.sampled_from([1, 3000, 1 << 30]))
def test_every_row_gets_the_first_row_of_its_key(
    save_parts: Save, tmp_path: Path, values: list[int], cuts: list[int], budget: int
) -> None:
    files = save_parts(digests(values), sorted(cut % (len(values) + 1) for cut in cuts))
    work = tmp_path / "work"
    found = find_repeats(files, work, budget)
    assert np.load(found).tolist() == firsts(values)
    found.unlink()


def test_one_key_in_very_many_rows_does_not_need_them_all_in_memory(save_parts: Save, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4000, 20_000)
    values[np.random.default_rng(1).random(20_000) < 0.7] = 17
    files = save_parts(digests(values.tolist()), [3000, 3000, 9000])
    found = find_repeats(files, tmp_path / "work", 400_000)
    assert np.load(found).tolist() == firsts(values.tolist())


def test_only_the_first_sixteen_bytes_count_and_both_halves_do(save_parts: Save, tmp_path: Path) -> None:
    keys = np.zeros((5, 20), dtype=np.uint8)
    keys[1, 7] = keys[2, 15] = keys[4, 15] = 1
    keys[3, 16] = 1
    assert np.load(find_repeats(save_parts(keys), tmp_path / "work")).tolist() == [0, 1, 2, 0, 2]


def test_no_files_no_rows_and_digests_that_are_too_short(save_parts: Save, tmp_path: Path) -> None:
    assert np.load(find_repeats([], tmp_path / "none")).tolist() == []
    assert np.load(find_repeats(save_parts(digests([])), tmp_path / "empty")).tolist() == []
    with pytest.raises(ArtifactError, match="digests of 8 bytes; must be at least 16"):
        find_repeats(save_parts(digests([1])[:, :8], name="short"), tmp_path / "short-work")
