import json
from typing import Any

import pytest

from pellucid.core.errors import DataError
from pellucid.tokenizer.tokenizer_json import check_tokenizer_json, panics_are_told

GOOD: dict[str, Any] = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    "added_tokens": [
        {"id": 2, "content": "<s>", "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    ],
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "pre_tokenizer": None,
    "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
}  # fmt: skip


def nested(depth: int) -> dict[str, Any]:
    return {"type": "Sequence", "decoders": [nested(depth - 1)]} if depth else {"type": "Fuse"}


def longer(times: int) -> dict[str, Any]:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 8}
    return {"type": "Sequence", "normalizers": [step] * times}


def test_what_published_files_hold_is_taken() -> None:
    check_tokenizer_json(GOOD)
    check_tokenizer_json(GOOD | {"model": {"type": "Unigram", "vocab": [["a", -1.0]]}, "added_tokens": None})
    check_tokenizer_json(GOOD | {"normalizer": longer(2), "decoder": nested(8)})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": [1]}, "model: must be a mapping"),
        ({"model": {"vocab": 7}}, r"model\.vocab: must be"),
        ({"model": {"vocab": {"a": 2**40}}}, r"model\.vocab: 'a': got 1099511627776; ids are whole numbers"),
        ({"model": {"vocab": {"a": -1}}}, "got -1"),
        ({"model": {"vocab": {"a": "1"}}}, "got '1'"),
        ({"added_tokens": {"a": 1}}, "added_tokens: must be a list"),
        ({"added_tokens": [{"id": 1}]}, r"added_tokens\[0\]: must be a mapping"),
        ({"added_tokens": [None]}, r"added_tokens\[0\]"),
        ({"added_tokens": [{"id": 2**32, "content": "a"}]}, r"added_tokens\[0\]\.id"),
        ({"normalizer": longer(3)}, "normalizer: makes up to 512 letters of one; at most 64"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}, "a trie of 4294967295 bytes in a table of 4"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": 7}}, "no base64"),
        ({"decoder": nested(40)}, "decoder: steps are nested deeper than 32"),
    ],
    ids=str,
)
def test_what_none_holds_is_refused_by_field(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_tokenizer_json(GOOD | changed)


def test_a_panic_of_rust_becomes_an_error_in_words() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    garbage = json.dumps(GOOD | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AQ=="}})
    with pytest.raises(DataError, match=r"(?s)reading is not possible with it: .*charsmap"), panics_are_told("reading"):
        tokenizers.Tokenizer.from_str(garbage)
    with pytest.raises(KeyboardInterrupt), panics_are_told("reading"):
        raise KeyboardInterrupt
