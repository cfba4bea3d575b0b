import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.documents.dedup import pairs
from pellucid.documents.dedup.arrays import Rows
from pellucid.documents.dedup.buckets import open_plan, sort_keys
from pellucid.documents.dedup.forest import flatten, join
from pellucid.documents.dedup.pairs import Verifier, centre_pairs, group_pairs, read_bucket

Save = Callable[..., list[Path]]


def written(verifier: Verifier) -> NDArray[np.int64]:
    return np.frombuffer(verifier.out.getvalue(), dtype="<i8").reshape(-1, 2)


def sets(rows: int, edges: NDArray[np.int64]) -> list[int]:
    parent = np.arange(rows)
    join(parent, edges)
    flatten(parent)
    return parent.tolist()


def verifier_of(save_parts: Save, minima: NDArray[np.uint32], least: int) -> Verifier:
    return Verifier(Rows(save_parts(minima, [len(minima) // 3]), np.uint32), least, 4000, io.BytesIO())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(2, 5), st.integers(1, 8), st.integers(0, 99))
def test_small_groups_are_connected_as_by_all_their_pairs(
    save_parts: Save, rows: int, groups: int, values: int, least: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    minima = rng.integers(0, values, (rows, 8), dtype=np.uint32)
    keys = rng.integers(0, groups, rows).astype(np.uint64)
    similar = [(a, b) for a, b in combinations(range(rows), 2) if keys[a] == keys[b] and (minima[a] == minima[b]).sum() >= least]
    verifier = verifier_of(save_parts, minima, least)
    order = np.argsort(keys, kind="stable")
    group_pairs(keys[order], order, verifier)
    found = [tuple(pair) for pair in written(verifier).tolist()]
    assert set(found) <= set(similar) and len(set(found)) == len(found)
    assert sets(rows, written(verifier)) == sets(rows, np.array(similar, dtype=np.int64).reshape(-1, 2))


def plain_centres(minima: NDArray[np.uint32], least: int, limit: int) -> list[tuple[int, int]]:
    centres: list[int] = []
    found = []
    for row in range(len(minima)):
        near = [centre for centre in centres if (minima[centre] == minima[row]).sum() >= least]
        found += [(centre, row) for centre in near]
        if not near and len(centres) < limit:
            centres.append(row)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 4), st.integers(3, 7), st.lists(st.integers(0, 60), max_size=4), st.integers(1, 9))
def test_each_document_of_a_large_group_is_compared_with_every_centre_before_it(
    save_parts: Save, rows: int, values: int, least: int, cuts: list[int], limit: int
) -> None:
    minima = np.random.default_rng(rows).integers(0, values, (rows, 8), dtype=np.uint32)
    verifier = verifier_of(save_parts, minima, least)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "CENTRES", limit)
        centre_pairs(np.split(np.arange(rows), sorted(cut % (rows + 1) for cut in cuts)), verifier)
    assert sorted(map(tuple, written(verifier).tolist())) == sorted(plain_centres(minima, least, limit))


@pytest.mark.parametrize("budget", [1 << 30, 128 * 1000])
def test_a_bucket_is_the_same_whether_it_fits_into_memory_or_not(tmp_path: Path, budget: int) -> None:
    rng = np.random.default_rng(0)
    keys = np.concatenate((np.repeat(np.arange(5, dtype=np.uint64), 300), rng.integers(0, 400, 600, dtype=np.uint64)))
    rng.shuffle(keys)
    plan = open_plan(tmp_path, [tmp_path / "a", tmp_path / "b"], [700, 1400], {}, 8, budget)
    for part in plan.parts():
        rows = np.arange(part.end - part.begin, dtype=np.uint32)
        sort_keys(part, keys[None, part.first + rows], rows)
    small, large = [], []
    for task in plan.bucket_tasks(1):
        own, rows, groups = read_bucket(plan, 0, task.bucket)
        small += list(zip(own.tolist(), rows.tolist(), strict=True))
        large += [np.concatenate(list(pieces)).tolist() for pieces in groups]
    members = {key: np.flatnonzero(keys == key).tolist() for key in set(keys.tolist())}
    assert small == [(key, row) for key, rows in sorted(members.items()) if 1 < len(rows) <= pairs.GROUP_ROWS for row in rows]
    assert large == [rows for _, rows in sorted(members.items()) if len(rows) > pairs.GROUP_ROWS]
