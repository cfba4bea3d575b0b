from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.data import ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.parts import clear_part, finished_part
from pellucid.shards.writer import write_part

DTYPE = np.dtype("<u2")


@pytest.fixture
def coding(byte_coding: Coding) -> Coding:
    return byte_coding


def write(out: Path, coding: Coding, make_texts: Any, name: str, count: int) -> None:
    write_part(make_texts(["x" * 700] * count), coding, ShardsConfig(shard_tokens=1024), out, name)


def test_a_part_is_finished_when_its_account_and_all_it_names_are_there(tmp_path: Path, coding: Coding, make_texts: Any) -> None:
    assert finished_part(tmp_path, "00000", DTYPE) is None
    write(tmp_path, coding, make_texts, "00000", 5)
    account = finished_part(tmp_path, "00000", DTYPE)
    assert account is not None
    assert (account.tokens, account.documents, len(account.files)) == (5 * 701, 5, 3)
    assert finished_part(tmp_path, "00000", np.dtype("<u4")) is None


def test_an_empty_part_is_finished_too(tmp_path: Path, coding: Coding, make_texts: Any) -> None:
    write(tmp_path, coding, make_texts, "00000", 0)
    account = finished_part(tmp_path, "00000", DTYPE)
    assert account is not None and (account.files, account.tokens, account.documents) == ((), 0, 0)


@pytest.mark.parametrize("name", ["00000.bin", "00000_00001.bin", "parts/00000.npy", "parts/00000.parquet", "parts/00000.json"])
@pytest.mark.parametrize("damage", ["gone", "short"])
def test_any_piece_that_is_gone_or_cut_short_makes_it_unfinished(
    tmp_path: Path, coding: Coding, make_texts: Any, name: str, damage: str
) -> None:
    write(tmp_path, coding, make_texts, "00000", 5)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage == "short":
        (tmp_path / name).write_bytes(data[:-9])
    assert finished_part(tmp_path, "00000", DTYPE) is None


def test_clearing_a_part_takes_its_own_pieces_only(tmp_path: Path, coding: Coding, make_texts: Any) -> None:
    write(tmp_path, coding, make_texts, "00000", 5)
    write(tmp_path, coding, make_texts, "00001", 5)
    clear_part(tmp_path, "00000")
    assert not list(tmp_path.glob("00000*.bin")) and finished_part(tmp_path, "00000", DTYPE) is None
    assert finished_part(tmp_path, "00001", DTYPE) is not None
