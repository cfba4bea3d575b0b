"""Sizes of vocabularies, counted from their files without a tokenizer."""

import json
from pathlib import Path

import pytest

from pellucid.recipe.vocabulary import count_gguf_tokens, count_tokens, vocabulary_file

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/tokenizers"


def test_a_vocabulary_is_a_file_or_the_folder_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    assert vocabulary_file("huggingface", tmp_path) == vocabulary_file("huggingface", tmp_path / "tokenizer.json")
    assert vocabulary_file("sentencepiece", tmp_path) is None
    assert vocabulary_file("huggingface", tmp_path / "other.json") is None


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ({"model": {"vocab": {"a": 0, "b": 1}}}, 2),
        ({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 5, "content": "x"}]}, 6),
        ({"model": {"vocab": [["a", -1.0], ["b", -2.0], ["c", -3.0]]}, "added_tokens": None}, 3),
    ],
)
def test_ids_are_counted_to_the_largest(tmp_path: Path, values: object, tokens: int) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    assert count_tokens("huggingface", tmp_path / "tokenizer.json") == tokens


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("huggingface", b"{}"),
        ("huggingface", b"[1"),
        ("huggingface", b"[]"),
        ("sentencepiece", b""),
        ("sentencepiece", b"\x0a\xff"),
    ],
)
def test_what_is_no_vocabulary_raises_one_kind_of_error(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError):
        count_tokens(kind, tmp_path / "file")


@pytest.mark.parametrize(
    ("kind", "name", "tokens"),
    [
        ("sentencepiece", "llama2_tokenizer.model", 32_000),
        ("huggingface", "gpt2.json", 50_257),
        ("huggingface", "gptneox_20B_tokenizer.json", 50_277),
    ],
)
def test_published_vocabularies_have_their_known_sizes(kind: str, name: str, tokens: int) -> None:
    if not (SHARED / name).is_file():
        pytest.skip(f"no {name} beside this checkout")
    assert count_tokens(kind, SHARED / name) == tokens


def test_a_ggufs_ids_are_counted_to_the_last_that_has_a_token(gguf_file: Path, tmp_path: Path) -> None:
    assert vocabulary_file("gguf", gguf_file) == vocabulary_file("gguf", tmp_path) == gguf_file
    assert count_tokens("gguf", gguf_file) == 990
    (tmp_path / "second.gguf").write_bytes(b"")
    assert vocabulary_file("gguf", tmp_path) is None
    with pytest.raises(ValueError, match="no GGUF file"):
        count_tokens("gguf", tmp_path / "second.gguf")
    with pytest.raises(ValueError, match="it holds no vocabulary"):
        count_gguf_tokens({"general.architecture": "llama"})
