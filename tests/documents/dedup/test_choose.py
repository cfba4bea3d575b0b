from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.documents.dedup.arrays import save_array
from pellucid.documents.dedup.choose import choose

Save = Callable[..., list[Path]]


def plain(clusters: list[int], sizes: list[int], gone: list[bool], keep: str) -> list[int]:
    members: dict[int, list[int]] = {}
    for row, cluster in enumerate(clusters):
        if not gone[row]:
            members.setdefault(cluster, []).append(row)
    kept = {
        cluster: rows[0] if keep == "first" else min(rows, key=lambda row: (-sizes[row], row)) for cluster, rows in members.items()
    }
    return [-1 if gone[row] or kept[cluster] == row else kept[cluster] for row, cluster in enumerate(clusters)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4), st.booleans()), max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
    st.sampled_from(["first", "longest"]),
)
def test_one_member_that_is_there_stays(
    save_parts: Save, tmp_path: Path, rows: list[tuple[int, int, bool]], cuts: list[int], keep: str
) -> None:
    first: dict[int, int] = {}
    clusters = [first.setdefault(cluster, row) for row, (cluster, _, _) in enumerate(rows)]
    sizes, gone = [size for _, size, _ in rows], [one for _, _, one in rows]
    cuts = sorted(cut % (len(rows) + 1) for cut in cuts)
    save_array(tmp_path / "clusters.npy", np.array(clusters, dtype=np.int64))
    size_files = save_parts(np.array(sizes, dtype=np.int64), cuts, "sizes")
    earlier = save_parts(np.where(np.array(gone, dtype=bool), 0, -1), cuts, "earlier")
    drops = choose(tmp_path / "clusters.npy", size_files, keep, tmp_path / "drops", [earlier])
    found = [row for file in drops.files for row in np.load(file).tolist()]
    assert found == plain(clusters, sizes, gone, keep)
    assert drops.dropped == sum(row >= 0 for row in found)
    assert [np.load(file).shape for file in drops.files] == [np.load(file).shape for file in size_files]
    assert not list((tmp_path / "drops").glob(".*"))


def test_numbers_of_rows_must_agree(save_parts: Save, tmp_path: Path) -> None:
    save_array(tmp_path / "clusters.npy", np.arange(3))
    with pytest.raises(ArtifactError, match=r"has 3 rows; the files of sizes have 2"):
        choose(tmp_path / "clusters.npy", save_parts(np.arange(2)), "first", tmp_path / "drops")
    sizes, earlier = save_parts(np.arange(3), name="sizes"), save_parts(np.arange(4), name="earlier")
    with pytest.raises(ArtifactError, match=r"has 4 rows; .* has 3"):
        choose(tmp_path / "clusters.npy", sizes, "first", tmp_path / "drops", [earlier])
