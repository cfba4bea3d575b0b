import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from pellucid.documents.cleaning.affixes import splitter
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import ALPHA, NON_SYMBOL
from pellucid.documents.cleaning.tokens import OWN_RULES, tokens_of

PIECES = [
    "word",
    "Word.",
    "cannot",
    "don't",
    "e.g.",
    " ",
    "\n",
    "\u3000",
    "(",
    ")",
    ",",
    "...",
    "日本語",
    "🙂",
    "l'eau",
    "3.5",
    "km",
    "-",
    ":",
    "é",
    "A.",
]
LANGUAGES = ["en", "fr", "sw", "zh"]


def plain(text: str, language: str) -> list[str]:
    """The words of a text, run by run."""
    rules, found = splitter(language if language in OWN_RULES else "xx"), []
    for run in text.split():
        begin = 0
        for length in rules.cut(run):
            found.append(run[begin : begin + length])
            begin += length
    return found


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=20), st.sampled_from(LANGUAGES[:3])
        ),
        max_size=6,
    )
)
def test_words_are_those_of_each_run_alone_whatever_the_batch(documents: list[tuple[str, str]]) -> None:
    tokens = tokens_of(TextBatch([text for text, _ in documents], [language for _, language in documents]))
    assert len(tokens.offsets_N1) == len(documents) + 1
    for index, (text, language) in enumerate(documents):
        assert tokens.words(index) == plain(text, language)
        own = slice(tokens.offsets_N1[index], tokens.offsets_N1[index + 1])
        for word, traits in zip(tokens.words(index), tokens.traits[own].tolist(), strict=True):
            assert bool(traits & int(ALPHA)) == any(map(str.isalpha, word))
            assert bool(traits & int(NON_SYMBOL)) or not any(map(str.isalnum, word.replace("１", "")))


def test_scripts_without_spaces_have_a_word_for_each_character_in_their_languages() -> None:
    texts = ["日本語です。ABC def", "日本語です。"]
    tokens = tokens_of(TextBatch(texts, ["ja", "en"]))
    assert tokens.words(0) == ["日", "本", "語", "で", "す", "。", "ABC", "def"]
    assert tokens.words(1) == ["日本語です", "。"]


def test_words_are_cut_once_and_equal_words_have_equal_numbers() -> None:
    batch = TextBatch(["to be or not to be", "be to"], ["en", "en"])
    tokens = tokens_of(batch)
    assert tokens_of(batch) is tokens
    words = tokens.words(0) + tokens.words(1)
    assert len(set(tokens.numbers.tolist())) == len(set(words)) == len(set(zip(tokens.numbers.tolist(), words, strict=True)))
    assert tokens.sums(np.ones(8, dtype=bool)).tolist() == [6, 2]
    assert tokens.text_numbers.tolist() == [0] * 6 + [1] * 2


def test_nothing_is_no_words() -> None:
    assert tokens_of(TextBatch([], [])).offsets_N1.tolist() == [0]
    assert tokens_of(TextBatch(["", " \n"], ["en", "zh"])).offsets_N1.tolist() == [0, 0, 0]
