from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from pellucid.documents.document import RAW_BYTES, Dropped
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reader import read_piece
from pellucid.documents.set_aside import SetAside
from pellucid.recipe.data import SourceConfig


def test_records_that_were_set_aside_can_be_read_with_their_true_size_and_bytes(tmp_path: Path) -> None:
    file = tmp_path / "corrupt" / "00000.jsonl"
    long = ("ü" * RAW_BYTES).encode()[: RAW_BYTES - 1]
    with SetAside(file) as aside:
        assert not file.exists()
        aside.write(Dropped("invalid json", 3, "a.jsonl@0", "is not JSON", "{ü".encode()))
        aside.write(Dropped("not utf-8", 1, "a.jsonl@3", "is not UTF-8", b"\xff\xfe"))
        aside.write(Dropped("text is not a string", 10**9, "a.jsonl@5", "has a list in 'text'", long))
    first, second, third = map(orjson.loads, file.read_bytes().splitlines())
    assert first == {"reason": "invalid json", "where": "a.jsonl@0", "bytes": 3, "detail": "is not JSON", "raw": "{ü"}
    assert second["raw_base64"] == "//4="
    assert third["raw"] == "ü" * ((RAW_BYTES - 1) // 2)
    assert third["bytes"] == 10**9


@pytest.mark.parametrize("template", [None, "{text}"])
def test_a_record_whose_keys_no_encoding_can_hold_is_set_aside(
    tmp_path: Path, make_source: Callable[..., SourceConfig], template: str | None
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n{"\\ud800": 1}\n')
    source = make_source("a.jsonl", template=template)
    (piece,) = find_pieces(source, tmp_path, 10**9)
    _, dropped = read_piece(source, piece, tmp_path, 1000)
    assert isinstance(dropped, Dropped)
    with SetAside(tmp_path / "corrupt.jsonl") as aside:
        aside.write(dropped)
    line = orjson.loads((tmp_path / "corrupt.jsonl").read_bytes())
    assert line["detail"] == "has no field 'text' (its fields: ?)"
    assert line["raw"] == '{"\\ud800": 1}'


def test_without_a_record_there_is_no_file(tmp_path: Path) -> None:
    with SetAside(tmp_path / "corrupt.jsonl"):
        pass
    assert not list(tmp_path.iterdir())
