from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.documents.dedup.buckets import Plan, open_plan, sort_keys

Save = Callable[..., list[Path]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.sampled_from([512, 2048, 1 << 20]), st.integers(0, 99))
def test_buckets_hold_every_key_once_with_its_row(tmp_path: Path, lengths: list[int], budget: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = [tmp_path / f"{index}" for index in range(len(lengths))]
    plan = open_plan(tmp_path / "work", files, lengths, {"seed": seed}, 8, budget)
    keys = rng.integers(0, 2**64, (2, sum(lengths)), dtype=np.uint64) & np.uint64(0xFF000000000000FF)
    for part in plan.parts():
        # Every third row has no key.
        rows = np.flatnonzero((part.first + np.arange(part.end - part.begin)) % 3).astype(np.uint32)
        sort_keys(part, keys[:, part.first + rows], rows)
    found = []
    for task in plan.bucket_tasks(2):
        for piece in Plan.read(task.work).slices(task.band, task.bucket):
            own, rows = piece.keys(), piece.rows()
            assert len(own) == len(rows) == piece.end - piece.begin > 0
            assert not plan.bits or (own >> np.uint64(64 - plan.bits) == task.bucket).all()
            assert np.array_equal(np.lexsort((rows, own)), np.arange(len(own)))
            found += [(task.band, row, key) for row, key in zip(rows.tolist(), own.tolist(), strict=True)]
    wanted = [(band, row, int(keys[band, row])) for band in range(2) for row in range(sum(lengths)) if row % 3]
    assert sorted(found) == wanted


def test_memory_decides_how_many_buckets_and_parts_there_are(tmp_path: Path) -> None:
    files, lengths = [tmp_path / "a", tmp_path / "b"], [3_000_000, 100_000_000]
    small = open_plan(tmp_path / "small", files, lengths, {}, 100, 1 << 26)
    large = open_plan(tmp_path / "large", files, lengths, {}, 100, 1 << 30)
    assert (small.bits, large.bits) == (9, 5)
    assert [part.first for part in large.parts()[11:14]] == [11 << 18, 3_000_000, 3_000_000 + (1 << 18)]
    assert large.parts()[-1].first + large.parts()[-1].end - large.parts()[-1].begin == large.rows == 103_000_000


def test_a_plan_is_kept_and_what_belongs_to_another_is_deleted(tmp_path: Path) -> None:
    plan = open_plan(tmp_path, [tmp_path / "a"], [3], {"x": 1}, 8, 1000)
    left = tmp_path / "pairs-0000-00000.bin"
    left.touch()
    assert open_plan(tmp_path, [tmp_path / "a"], [3], {"x": 1}, 8, 1000) == plan == Plan.read(tmp_path)
    assert left.exists()
    plan.result.touch()
    open_plan(tmp_path, [tmp_path / "a"], [3], {"x": 1}, 8, 2000)
    assert not left.exists() and plan.result.exists()
    open_plan(tmp_path, [tmp_path / "a"], [3], {"x": 2}, 8, 2000)
    assert not plan.result.exists()
