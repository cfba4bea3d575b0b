from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.core.files import writing
from pellucid.documents.dedup import arrays
from pellucid.documents.dedup.arrays import Rows, array_shape, iter_pairs, save_array, scratch_array, whole_array

Save = Callable[..., list[Path]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 60), max_size=4), st.data())
def test_rows_are_those_of_the_files_one_after_the_other(
    save_parts: Save, total: int, cuts: list[int], data: st.DataObject
) -> None:
    whole = np.random.default_rng(total).integers(0, 2**32, (total, 3), dtype=np.uint32)
    rows = Rows(save_parts(whole, sorted(cut % (total + 1) for cut in cuts)), np.uint32)
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, total - 1)))) if total else [], dtype=np.int64)
    assert rows.offsets_N1[-1] == total and rows.width == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_WINDOW_BYTES", 50)
        assert np.array_equal(rows.take(wanted), whole[wanted])


def test_no_files_have_no_rows() -> None:
    assert Rows([], np.uint32).take(np.zeros(0, dtype=np.int64)).shape == (0, 0)


def test_files_that_are_cut_short_missing_or_of_another_kind_are_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npy", tmp_path / "bad.npy"
    save_array(good, np.zeros((3, 4), dtype=np.uint32))
    with pytest.raises(ArtifactError, match=r"bad\.npy cannot be read"):
        array_shape(bad)
    bad.write_bytes(good.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"bad\.npy cannot be read"):
        Rows([good, bad], np.uint32)
    save_array(bad, np.zeros((3, 5), dtype=np.uint32))
    with pytest.raises(ArtifactError, match=r"must be \(rows, 4\)"):
        Rows([good, bad], np.uint32)
    with pytest.raises(ArtifactError, match="holds uint32; must be uint8"):
        Rows([good], np.uint8)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "a" / "x.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), whole_array(tmp_path / "a" / "y.npy", 5) as array:
        array[:] = 1
        raise KeyboardInterrupt
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_arrays_on_disk_hold_what_was_put_there(tmp_path: Path, rows: int) -> None:
    with whole_array(tmp_path / "y.npy", rows) as array, scratch_array(tmp_path / "z", rows) as scratch:
        scratch[:] = np.arange(rows)
        array[:] = scratch[::-1]
    assert np.load(tmp_path / "y.npy").tolist() == list(range(rows))[::-1]
    assert [file.name for file in tmp_path.iterdir()] == ["y.npy"]


def test_pairs_come_in_pieces(tmp_path: Path) -> None:
    pairs = np.arange(22, dtype=np.int64).reshape(-1, 2)
    (tmp_path / "x").write_bytes(pairs.tobytes())
    pieces = list(iter_pairs(tmp_path / "x", 4))
    assert [len(piece) for piece in pieces] == [4, 4, 3]
    assert np.array_equal(np.concatenate(pieces), pairs)
