from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.conversations.read import DIGEST_BYTES, Kept, ReadTask, find_source, read_chunk, read_piece
from pellucid.core.errors import DataError
from pellucid.recipe.conversations import ConversationConfig

MAX_BYTES = 100_000
WriteSource = Callable[..., ConversationConfig]


def read(source: ConversationConfig, base: Path, piece_bytes: int = 1 << 30) -> list[Kept]:
    found = find_source(source, base, piece_bytes, MAX_BYTES)
    return [read_piece(ReadTask(found, piece, MAX_BYTES, base / "work" / f"{number}")) for number, piece in enumerate(found.pieces)]


def examples(parts: list[Kept]) -> list[Any]:
    return [one for part in parts for chunk in part.chunks for one in read_chunk(chunk.file)]


def test_every_record_is_an_example_or_a_counted_drop_with_its_beginning(tmp_path: Path, write_source: WriteSource) -> None:
    source = write_source(
        "talks",
        [
            {"id": 7, "instruction": "Q", "output": "A", "license": "MIT", "url": "https://a.example"},
            '{"instruction": "cut sho',
            {"instruction": "Q"},
            {"instruction": "Q", "output": "\ud800"},
            "[1, 2]",
            {"instruction": "Q2", "output": " "},
            {"instruction": "Q3", "output": "x" * 2_000_000},
            {"instruction": "Q4", "output": "A4"},
        ],
        language="en",
    )
    (kept,) = read(source, tmp_path)
    assert kept.read == 8
    assert kept.drops.counts == {
        "invalid json": 2,
        "not of its shape": 1,
        "lone surrogate": 1,
        "empty answer": 1,
        "longer than max_bytes": 1,
    }
    assert kept.drops.shown["invalid json"][0]["beginning"] == '{"instruction": "cut sho'
    assert kept.drops.shown["empty answer"][0]["detail"] == "has nothing in turn 2, of the assistant"
    assert kept.first_unusable is not None
    assert kept.first_unusable.reason == "invalid json"
    (first, about), (_, last) = examples([kept])
    assert [one["content"] for one in first.messages] == ["Q", "A"]
    assert about == {
        "id": "talks.jsonl@0",
        "record_id": "7",
        "language": "en",
        "licence": "MIT",
        "origin": "https://a.example",
        "turns": 2,
    }
    assert (last["origin"], last["licence"]) == ("talks.jsonl", "NOASSERTION")
    assert len(kept.chunks[0].digests) == 2 * DIGEST_BYTES


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl.gz", "jsonl.zst"])
def test_tables_and_packed_files_give_the_same_examples(ending: str, tmp_path: Path) -> None:
    records = [{"conversations": [{"from": "human", "value": f"Q{n}"}, {"from": "gpt", "value": f"A{n}"}]} for n in range(3)]
    file = tmp_path / f"talks.{ending}"
    lines = b"".join(_json(one) + b"\n" for one in records)
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records), file)
    elif ending == "csv":
        cells = [_json(one["conversations"]).decode().replace('"', '""') for one in records]
        file.write_text("conversations\n" + "".join(f'"{cell}"\n' for cell in cells))
    elif ending == "json":
        file.write_bytes(_json(records))
    else:
        with pa.CompressedOutputStream(str(file), {"gz": "gzip", "zst": "zstd"}[ending.rpartition(".")[2]]) as out:
            out.write(lines)
    parts = read(ConversationConfig(name="talks", path=file.name), tmp_path)
    assert [one.messages[1]["content"] for one, _ in examples(parts)] == ["A0", "A1", "A2"]


def _json(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value)


def test_pieces_together_hold_every_record_once(tmp_path: Path, write_source: WriteSource) -> None:
    source = write_source("talks", [{"prompt": f"Q{n}", "response": "A" * n} for n in range(1, 40)])
    parts = read(source, tmp_path, piece_bytes=200)
    assert len(parts) > 3
    assert [one.messages[0]["content"] for one, _ in examples(parts)] == [f"Q{n}" for n in range(1, 40)]


def test_a_copy_of_a_data_set_of_the_hub_is_read_by_its_split(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = tmp_path / "sets" / "small"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"query": ["Q"], "response": ["A"]}), folder / "train_sft-0.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: [{split: sft, path: train_sft-*}]\n---\n"
    )
    ((example, about),) = examples(read(ConversationConfig(name="talks", hub="./sets/small", split="sft"), tmp_path))
    assert [one["content"] for one in example.messages] == ["Q", "A"]
    assert about["id"] == "sets/small/sft/00000:1"


def test_what_is_held_out_follows_from_what_was_asked_first(tmp_path: Path, write_source: WriteSource) -> None:
    records = [{"system": "S", "prompt": f"Q{n}", "response": answer} for n in range(300) for answer in ("A", "B")]
    (kept,) = read(write_source("talks", records, heldout_frac=0.1), tmp_path)
    (chunk,) = kept.chunks
    assert chunk.heldout[::2] == chunk.heldout[1::2]
    assert 30 < sum(chunk.heldout) < 90
    (more,) = read(write_source("talks", records, heldout_frac=0.2), tmp_path)
    assert all(later >= before for before, later in zip(chunk.heldout, more.chunks[0].heldout, strict=True))


def test_one_question_is_on_one_side_with_any_system_prompt_case_blanks_and_punctuation_at_its_ends(
    tmp_path: Path, write_source: WriteSource
) -> None:
    asked = (
        "how far is it to town {}",
        "How far is it  to town {}?",
        "\u00bfHow far\nis it to Town {}!? ",
        "\uff28ow far is it to town {}",
    )
    records = [
        {"prompt": form.format(number), "response": "A", "system": system}
        for number in range(40)
        for form in asked
        for system in ("", "Be brief.", "Be kind.")
    ]
    (kept,) = read(write_source("talks", records, heldout_frac=0.3), tmp_path)
    (chunk,) = kept.chunks
    for first in range(0, chunk.examples, 12):
        assert len(set(chunk.heldout[first : first + 12])) == 1
        assert len({chunk.question(row) for row in range(first, first + 12)}) == 1
    assert len({chunk.question(row) for row in range(chunk.examples)}) == 40
    assert 0 < sum(chunk.heldout) < chunk.examples
    assert len({chunk.digest(row) for row in range(chunk.examples)}) == chunk.examples, "no duplicates, for all that"


def test_a_question_of_punctuation_alone_is_one_like_any_other(tmp_path: Path, write_source: WriteSource) -> None:
    (kept,) = read(write_source("talks", [{"prompt": text, "response": "A"} for text in ("?!", "...", "+")]), tmp_path)
    (chunk,) = kept.chunks
    assert [chunk.question(row) == chunk.question(0) for row in range(3)] == [True, True, False]


def test_a_source_that_holds_nothing_to_read_says_so(tmp_path: Path, write_source: WriteSource) -> None:
    with pytest.raises(DataError, match=r"source 'none' is empty: what matches 'none.jsonl' holds no record"):
        read(write_source("none", []), tmp_path)
    with pytest.raises(DataError, match=r"source 'bad': none of its records can be read. .*bad.jsonl@0, which is not JSON.*again"):
        read(write_source("bad", ["{"]), tmp_path)
    (tmp_path / "talk.txt").write_text("Hello")
    with pytest.raises(DataError, match=r"source 'talks': .*talk.txt is a text; conversations are records"):
        read(ConversationConfig(name="talks", path="talk.txt"), tmp_path)
    with pytest.raises(DataError, match=r"source 'odd': odd.jsonl@0 has the fields 'a', and no known shape"):
        read(write_source("odd", [{"a": 1}]), tmp_path)
