from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.shards.index import ShardFile, ShardIndex, choose_dtype

INDEX = ShardIndex("uint16", (ShardFile("00000.bin", 7), ShardFile("00001.bin", 3)), 10, 2, {"<|endoftext|>": 2}, 30)


def test_an_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    INDEX.write(tmp_path)
    assert ShardIndex.read(tmp_path) == INDEX
    assert read_json(tmp_path / "index.json") == {
        "dtype": "uint16",
        "files": [{"name": "00000.bin", "tokens": 7}, {"name": "00001.bin", "tokens": 3}],
        "tokens": 10,
        "documents": 2,
        "special_counts": {"<|endoftext|>": 2},
        "text_bytes": 30,
        "fim_documents": {},
    }


def test_an_index_from_before_fill_in_the_middle_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "index.json", {key: value for key, value in asdict(INDEX).items() if key != "fim_documents"})
    assert ShardIndex.read(tmp_path) == INDEX


def test_the_share_of_specials_is_of_all_tokens_and_none_of_no_tokens() -> None:
    assert INDEX.special_frac == 0.2
    assert ShardIndex("uint16", (), 0, 0, {"<|endoftext|>": 0}, 0).special_frac == 0


@pytest.mark.parametrize("change", [{"tokens": 11}, {"dtype": "float32"}, {"files": [{"name": "00000.bin"}]}, {"extra": 1}])
def test_an_index_that_was_edited_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    INDEX.write(tmp_path)
    write_json(tmp_path / "index.json", read_json(tmp_path / "index.json") | change)
    with pytest.raises(ArtifactError, match=r"index\.json (is not a shard index|contradicts itself).*delete .* and run again"):
        ShardIndex.read(tmp_path)


def test_ids_take_two_bytes_up_to_a_vocabulary_of_65536() -> None:
    assert choose_dtype(65536) == np.dtype("<u2")
    assert choose_dtype(65537) == np.dtype("<u4")
