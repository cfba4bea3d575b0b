import sys
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError, PellucidWarning
from pellucid.tokenizer import encoder as encoder_module
from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer
from pellucid.tokenizer.encoder import SPLIT_PATTERN, Encoder, Reference
from pellucid.tokenizer.training import train_bpe

RANKS = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257, b"  ": 258, b"\n\n": 259}

# Any valid Unicode, and mixtures of the characters that the split pattern treats differently.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HARD_TEXT = st.text(
    st.sampled_from("aeSst'’ \n\r\t\v019²½٣.,!-_ſßéα中한\U0001f916\u0301\u200d\xa0\u2028\x1c\x85\0\u088f"), max_size=60
)


def tiktoken_of(tokenizer: Tokenizer) -> tiktoken.Encoding:
    return tiktoken.Encoding("test", pat_str=tokenizer.pattern, mergeable_ranks=tokenizer.ranks, special_tokens=tokenizer.special)


def assert_equals_tiktoken(tokenizer: Tokenizer, texts: Iterator[str]) -> int:
    encoding, count = tiktoken_of(tokenizer), 0
    while chunk := list(islice(texts, 256)):
        ids, offsets = tokenizer.encode_batch(chunk)
        for index, row in enumerate(encoding.encode_ordinary_batch(chunk, num_threads=1)):
            assert ids[offsets[index] : offsets[index + 1]].tolist() == row, f"document {count + index} differs"
        count += len(chunk)
    return count


def test_quicktok_is_installed_and_agrees(tokenizer: Tokenizer) -> None:
    assert tokenizer.is_fast


@given(text=ANY_TEXT | HARD_TEXT)
@settings(max_examples=400, deadline=None)
def test_any_text_gives_the_ids_of_tiktoken(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer._encoder._reference._pattern
    assert tokenizer.encode(text) == encoding.encode_ordinary(text)


def test_every_tenth_document_of_the_corpus_gives_the_ids_of_tiktoken(tokenizer: Tokenizer, pocket: Iterator[str]) -> None:
    assert assert_equals_tiktoken(tokenizer, islice(pocket, 0, None, 10)) > 100


@pytest.mark.slow
def test_every_document_of_the_corpus_gives_the_ids_of_tiktoken(arcade: Tokenizer, pocket: Iterator[str]) -> None:
    texts = list(pocket)
    for tokenizer in (arcade, train_bpe(texts, 8192)):
        assert assert_equals_tiktoken(tokenizer, iter(texts)) == len(texts)


@pytest.mark.slow
def test_every_document_of_the_larger_corpus_gives_the_ids_of_tiktoken(arcade: Tokenizer, shared: Iterator[str]) -> None:
    texts = list(shared)
    for tokenizer in (arcade, train_bpe(texts, 8192)):
        assert assert_equals_tiktoken(tokenizer, iter(texts)) == len(texts)
        assert tokenizer.is_fast


@pytest.mark.slow
@pytest.mark.parametrize("template", ["a{}b", "{}'s \n", "1{}2", " {} ", "\n{} {}"])
def test_every_code_point_is_split_as_by_tiktoken(trained: Tokenizer, template: str) -> None:
    points = (chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    assert_equals_tiktoken(trained, (template.replace("{}", point) for point in points))


def test_letters_newer_than_quicktoks_tables_are_left_to_tiktoken() -> None:
    encoder = Encoder(RANKS)
    for point in (0x088F, 0x0C5C, 0xA7CE, 0x10940, 0x16EA0, 0x323B0):
        text = f"the {chr(point)}'s end"
        assert encoder.encode_batch(["the", text, ""])[0].tolist() == [257, *Reference(RANKS).encode(text)]


def test_batch_offsets_delimit_each_text_and_threads_change_nothing(tokenizer: Tokenizer, sources: list[str]) -> None:
    texts = ["", *sources[:10], "", "é"]
    ids, offsets = tokenizer.encode_batch(texts)
    assert (ids.dtype, offsets.dtype, len(offsets)) == (np.uint32, np.int64, len(texts) + 1)
    assert [ids[offsets[i] : offsets[i + 1]].tolist() for i in range(len(texts))] == [tokenizer.encode(text) for text in texts]
    for one, two in zip((ids, offsets), tokenizer.encode_batch(texts, threads=2), strict=True):
        assert np.array_equal(one, two)


def test_no_texts_give_no_ids() -> None:
    encoder = Encoder(RANKS)
    for texts in ([], [""], ["", ""]):
        ids, offsets = encoder.encode_batch(texts)
        assert ids.tolist() == [] and offsets.tolist() == [0] * (len(texts) + 1)


def test_without_quicktok_tiktoken_encodes_and_a_warning_says_so(monkeypatch: pytest.MonkeyPatch, sources: list[str]) -> None:
    fast = Encoder(RANKS)
    monkeypatch.setitem(sys.modules, "quicktok", None)
    with pytest.warns(PellucidWarning, match="quicktok cannot be used"):
        slow = Encoder(RANKS)
    assert not slow.is_fast
    texts = [*sources[:3], "", "a \ud7ff 12"]
    for one, two in zip(fast.encode_batch(texts), slow.encode_batch(texts), strict=True):
        assert np.array_equal(one, two) and one.dtype == two.dtype


class Wrong:
    """A fast encoder that errs on one word."""

    def __init__(self, word: str) -> None:
        self.word, self.right = word, encoder_module.open_quicktok(RANKS)

    def encode_batch(self, texts: list[str], threads: int) -> tuple[np.ndarray, np.ndarray]:
        return self.right.encode_batch([text.replace(self.word, "?") for text in texts], threads)


def test_a_wrong_id_on_the_probe_gives_quicktok_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Wrong("fox")
    monkeypatch.setattr(encoder_module, "open_quicktok", lambda ranks: wrong)
    with pytest.warns(PellucidWarning, match="other ids than tiktoken on the probe"):
        assert not Encoder(RANKS).is_fast


def test_a_wrong_id_in_the_first_texts_gives_quicktok_up_and_the_right_ids_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Wrong("corpus")
    monkeypatch.setattr(encoder_module, "open_quicktok", lambda ranks: wrong)
    encoder = Encoder(RANKS)
    assert encoder.encode_batch(["the"])[0].tolist() == [257]
    with pytest.warns(PellucidWarning, match="on the first texts"):
        ids, _ = encoder.encode_batch(["the", "the corpus"])
    assert not encoder.is_fast
    assert ids.tolist() == [257, *Reference(RANKS).encode("the corpus")]


@pytest.mark.parametrize("fast", [True, False])
def test_a_lone_surrogate_is_named_with_its_place(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(RANKS)
    if not fast:
        monkeypatch.setattr(encoder, "_fast", None)
    with pytest.raises(DataError, match=r"text 1 of 2 holds the lone surrogate U\+DC80 at character 2"):
        encoder.encode_batch(["fine", "ab\udc80"])


RUNS = ["a", " ", "\t ", "\n", " \n", "7", "!", "'s", "é", "中", "\U0001f916", "\0", "\u3000", "-="]


@pytest.mark.parametrize("unit", RUNS)
@pytest.mark.parametrize("end", ["", "x", " \n!"])
def test_a_run_of_a_million_characters_is_encoded_alike_by_both_engines(unit: str, end: str) -> None:
    text = "So" + "it\r\n" * (unit in " \t ") + unit * (1_200_000 // len(unit)) + end
    ids, _ = Encoder(RANKS).encode_batch([text])
    assert ids.tolist() == Reference(RANKS).encode(text)


@pytest.mark.parametrize("context", ["{}", "a{}", "!{}b", "a\n{}\nb", "!\r\n{}é", "{}\n", "  \n{} 1", "\u2003{}!", "{}a{}.{}"])
def test_cutting_at_long_blanks_changes_no_id(context: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_LONG_BLANK", encoder_module.re.compile(r"[ \t\u2003]{3,}"))
    plain = tiktoken.Encoding("test", pat_str=SPLIT_PATTERN, mergeable_ranks=RANKS, special_tokens={})
    for blank in (" " * 3, " \t" * 5, "\t" * 4 + " "):
        text = context.replace("{}", blank)
        assert Reference(RANKS).encode(text) == plain.encode_ordinary(text)


@pytest.mark.slow
@pytest.mark.parametrize("unit", RUNS)
def test_a_document_of_50_megabytes_without_a_word_is_encoded(tokenizer: Tokenizer, unit: str) -> None:
    text = unit * (50_000_000 // len(unit.encode()))
    ids, _ = tokenizer.encode_batch([text])
    lengths = np.zeros(tokenizer.vocab_tokens, dtype=np.int64)
    lengths[list(tokenizer.ranks.values())] = [len(token) for token in tokenizer.ranks]
    assert int(lengths[ids].sum()) == len(text.encode()) and tokenizer.is_fast
