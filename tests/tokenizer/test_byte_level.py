from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.tokenizer.byte_level import GPT2_DIGITS_PATTERN, GPT2_PATTERN, ByteLevel, read_byte_level
from pellucid.tokenizer.encoder import SPLIT_PATTERN
from pellucid.tokenizer.huggingface import byte_alphabet

BYTES = {letter: byte for byte, letter in byte_alphabet().items()}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
SPLIT = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN}, "behavior": "Isolated", "invert": False}


def values(**changes: Any) -> dict[str, Any]:
    model = {"type": "BPE", "vocab": BYTES | {"th": 256, "the": 257}, "merges": ["t h", ["th", "e"]]}
    return {"model": model, "pre_tokenizer": BYTE_LEVEL, "normalizer": None, "added_tokens": []} | changes


def test_merges_in_either_spelling_become_ranks_by_the_ids_of_the_vocabulary() -> None:
    plain = read_byte_level(values())
    assert plain is not None
    assert plain.ranks == {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257}
    assert (plain.pattern, plain.nfc, plain.cut_out) == (GPT2_PATTERN, False, ())


@pytest.mark.parametrize(
    ("pre", "pattern"),
    [
        ({"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL | {"use_regex": False}]}, SPLIT_PATTERN),
        ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}, GPT2_DIGITS_PATTERN),
        ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, BYTE_LEVEL]}, None),
        ({"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]}, None),
        ({"type": "Sequence", "pretokenizers": [SPLIT, SPLIT, BYTE_LEVEL | {"use_regex": False}]}, None),
        ({"type": "Sequence", "pretokenizers": [SPLIT | {"behavior": "Removed"}, BYTE_LEVEL | {"use_regex": False}]}, None),
        (BYTE_LEVEL | {"add_prefix_space": True}, None),
        (BYTE_LEVEL | {"use_regex": False}, None),
        ({"type": "Metaspace"}, None),
        (None, None),
    ],
)
def test_only_split_patterns_that_are_one_expression_are_taken(pre: Any, pattern: str | None) -> None:
    plain = read_byte_level(values(pre_tokenizer=pre))
    assert (plain.pattern if plain else None) == pattern


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"model": values()["model"] | {"type": "WordPiece"}},
        {"model": values()["model"] | {"byte_fallback": True}},
        {"model": values()["model"] | {"end_of_word_suffix": "</w>"}},
        {"model": values()["model"] | {"merges": [["th", "e"], ["t", "h"]]}},
        {"model": values()["model"] | {"merges": [["t", "x"]]}},
        {"model": values()["model"] | {"vocab": {letter: id_ for letter, id_ in BYTES.items() if letter != "a"}}},
        {"added_tokens": [{"id": 257, "content": "the", "special": True}]},
    ],
)
def test_anything_more_is_left_to_tokenizers(change: dict[str, Any]) -> None:
    assert read_byte_level(values(**change)) is None


def test_texts_with_tokens_that_are_cut_out_first_and_blanks_without_end_are_left() -> None:
    plain = ByteLevel({}, GPT2_PATTERN, True, ("  ", "Å"))
    assert [plain.leave(text) for text in ("a b", "a  b", "\u212b", " \n", "")] == [False, True, True, False, False]
    assert ByteLevel({}, GPT2_PATTERN, False, ()).leave("\t" * 70_000)


def test_texts_with_bytes_that_have_no_token_are_left_and_all_others_are_not() -> None:
    vocab = {letter: byte for letter, byte in BYTES.items() if byte not in (0x04, 0x1D, 0xF1, 0xC0)}
    plain = read_byte_level(values(model=values()["model"] | {"vocab": vocab | {"th": 256, "the": 257}}))
    assert plain is not None and plain.missing == b"\x04\x1d\xf1"
    texts = ("a\x05b", "a\x04b", "\x1d", "\U0001f600", "\U00050000", "")
    assert [plain.leave(text) for text in texts] == [False, True, True, False, True, False]


def test_llama_cpp_is_told_the_files_own_merges_or_refused() -> None:
    added = [{"id": 258, "content": "<e>", "special": True}, {"id": 259, "content": "    ", "special": False}]
    plain = read_byte_level(values(added_tokens=added))
    assert plain is not None
    vocabulary = plain.vocabulary(values(added_tokens=added))
    assert (vocabulary.pre, list(vocabulary.merges)) == ("gpt-2", ["t h", "th e"])
    assert vocabulary.kinds == {258: "control", 259: "user_defined"}
    for other in (ByteLevel(plain.ranks, GPT2_PATTERN, True, ()), ByteLevel(plain.ranks, r"\w+", False, ())):
        with pytest.raises(UsageError, match=r"llama\.cpp cannot be given this tokenizer\.json exactly"):
            other.vocabulary(values())
