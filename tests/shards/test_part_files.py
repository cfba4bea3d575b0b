from pathlib import Path

import numpy as np
import pytest

from pellucid.shards.part_files import StartsFile, TokenFiles


def test_files_are_closed_at_the_first_document_end_after_the_limit_and_sort_in_their_order(tmp_path: Path) -> None:
    with TokenFiles(tmp_path, "00003", np.dtype("<u2"), 4) as tokens:
        tokens.write(np.arange(7, dtype="<u2"), np.array([3, 5, 7]))
        tokens.write(np.arange(7, 9, dtype="<u2"), np.array([2]))
        tokens.write(np.arange(9, 10, dtype="<u2"), np.array([1]))
    assert [(file.name, file.tokens) for file in tokens.files] == [("00003.bin", 5), ("00003_00001.bin", 4), ("00003_00002.bin", 1)]
    stored = np.concatenate([np.fromfile(path, "<u2") for path in sorted(tmp_path.iterdir())])
    assert stored.tolist() == list(range(10)) and tokens.written == 10


def test_starts_written_piece_by_piece_are_one_array(tmp_path: Path) -> None:
    with StartsFile(tmp_path / "a.npy") as starts:
        for piece in ([0, 5], [], [9]):
            starts.write(np.array(piece, dtype=np.int64))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 5, 9]


def test_an_error_inside_leaves_starts_that_count_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), StartsFile(tmp_path / "a.npy") as starts:
        starts.write(np.array([1, 2]))
        raise KeyError
    assert len(np.load(tmp_path / "a.npy")) == 0
