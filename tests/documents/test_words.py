import tracemalloc
from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.words import Words, hash_ngrams, hash_words


def cut(text: str) -> list[str]:
    words = hash_words([text])
    return [text[begin:end] for begin, end in zip(words.begin_W, words.end_W, strict=True)]


def test_words_are_letters_marks_and_digits() -> None:
    assert cut("Größe – «été»! a_b 3.14 n'est") == ["Größe", "été", "a", "b", "3", "14", "n", "est"]
    assert cut("हिन्दी") == ["हिन्दी"]


def test_scripts_without_spaces_have_a_word_for_each_character() -> None:
    assert cut("日本語 abc日def") == ["日", "本", "語", "abc", "日", "def"]


def test_case_and_punctuation_play_no_part() -> None:
    a, b = hash_words(["The cat, SAT!"]), hash_words(["the 'cat' sat"])
    assert np.array_equal(a.keys_W, b.keys_W)


@given(st.lists(st.text(max_size=30), max_size=6))
def test_a_text_has_the_same_words_alone_and_in_a_batch(texts: list[str]) -> None:
    together = hash_words(texts)
    assert len(together.offsets_N1) == len(texts) + 1
    for index, text in enumerate(texts):
        own = slice(together.offsets_N1[index], together.offsets_N1[index + 1])
        alone = hash_words([text])
        for name in ("keys_W", "begin_W", "end_W"):
            assert np.array_equal(getattr(together, name)[own], getattr(alone, name))


@given(st.lists(st.text("aÉ 日\u0301\ud800.", max_size=12) | st.text(max_size=12), max_size=5), st.integers(1, 6))
def test_cutting_texts_anywhere_changes_nothing(texts: list[str], chars_at_once: int) -> None:
    whole, cut_up = hash_words(texts), hash_words(texts, chars_at_once)
    for field in fields(Words):
        before, after = getattr(whole, field.name), getattr(cut_up, field.name)
        assert np.array_equal(before, after)
        assert before.dtype == after.dtype


def test_the_number_of_a_word_is_what_it_always_was() -> None:
    assert hash_words(["Größe 日本 3"]).keys_W.tolist() == [
        12288018080982325163,
        15778175593334564864,
        1622952028097297292,
        33887684188580117,
    ]


def test_a_long_text_needs_memory_for_its_words_and_not_for_its_characters() -> None:
    for text in ("word " * 1_600_000, "x" * 8_000_000):
        tracemalloc.start()
        try:
            words = hash_words([text])
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 100e6 + 2.5 * 24 * len(words.keys_W)  # all at once takes 330 MB
        assert kept < 2e6 + 24 * len(words.keys_W)


@given(st.lists(st.text("ab c", max_size=30), max_size=6), st.integers(1, 4))
def test_ngrams_are_equal_where_their_words_are(texts: list[str], n: int) -> None:
    words = hash_words(texts)
    hashes, offsets = hash_ngrams(words, n)
    grams = [cut(text)[place : place + n] for text in texts for place in range(len(cut(text)) - n + 1)]
    assert len(grams) == len(hashes) == offsets[-1]
    assert len({tuple(gram) for gram in grams}) == len(set(hashes.tolist()))
    for index, text in enumerate(texts):
        assert offsets[index + 1] - offsets[index] == max(0, len(cut(text)) - n + 1)
