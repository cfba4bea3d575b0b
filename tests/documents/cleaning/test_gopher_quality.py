from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import NON_SYMBOL, code_traits
from pellucid.documents.cleaning.gopher_quality import apply
from pellucid.documents.cleaning.stop_words import STOP_WORDS
from pellucid.documents.cleaning.tokens import tokens_of
from pellucid.recipe.cleaning import GopherQualityStep

REASONS = {
    "gopher_short_doc": "gopher: too few words",
    "gopher_long_doc": "gopher: too many words",
    "gopher_below_avg_threshold": "gopher: words too short",
    "gopher_above_avg_threshold": "gopher: words too long",
    "gopher_too_many_hashes": "gopher: too many hash signs",
    "gopher_too_many_ellipsis": "gopher: too many ellipses",
    "gopher_too_many_bullets": "gopher: too many bullet lines",
    "gopher_too_many_end_ellipsis": "gopher: too many lines end in an ellipsis",
    "gopher_below_alpha_threshold": "gopher: too few words with a letter",
    "gopher_enough_stop_words": "gopher: too few stop words",
}
PIECES = [
    "the ",
    "be",
    " to",
    "\n",
    "\r\n",
    "\u2028",
    "- ",
    "•",
    "...",
    "…",
    "#",
    " 12",
    "x" * 30,
    "日本",
    "🙂",
    "?",
    " ",
    "\t",
    "a",
    "\x1c",
    "é",
]
CONFIG = GopherQualityStep(step="gopher_quality", min_words=3, max_words=12, min_mean_word_chars=1.5, max_mean_word_chars=6)


def judge(text: str, words: list[str], language: str, config: GopherQualityStep) -> str | None:
    """The rules on one text, in plain Python."""

    def named(word: str) -> bool:
        return any(code_traits()[ord(char)] & NON_SYMBOL for char in word)

    lengths = [len(word) for word in words if named(word)]
    lines = text.splitlines()
    starts = sum(line.lstrip()[:1] in ("•", "-") for line in lines if line.strip())
    open_ends = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    mean = sum(lengths) / len(lengths) if lengths else 0
    rules = (
        (len(lengths) < config.min_words, "too few words"),
        (len(lengths) > config.max_words, "too many words"),
        (bool(lengths) and mean < config.min_mean_word_chars, "words too short"),
        (mean > config.max_mean_word_chars, "words too long"),
        (bool(words) and text.count("#") / len(words) > config.max_symbol_word_ratio, "too many hash signs"),
        (bool(words) and (text.count("...") + text.count("…")) / len(words) > config.max_symbol_word_ratio, "too many ellipses"),
        (bool(lines) and starts / len(lines) > config.max_bullet_line_frac, "too many bullet lines"),
        (bool(lines) and open_ends / len(lines) > config.max_ellipsis_line_frac, "too many lines end in an ellipsis"),
        (
            bool(words) and sum(any(map(str.isalpha, word)) for word in words) / len(words) < config.min_alpha_word_frac,
            "too few words with a letter",
        ),
        (language in STOP_WORDS and len(set(STOP_WORDS[language]) & set(words)) < config.min_stop_words, "too few stop words"),
    )
    return next((f"gopher: {reason}" for broken, reason in rules if broken), None)


def verdicts(texts: Sequence[str], languages: Sequence[str], config: GopherQualityStep = CONFIG) -> list[tuple[str | None, str]]:
    batch = TextBatch(texts, languages)
    apply(batch, config)
    return list(zip(batch.reasons, batch.details, strict=True))


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=20), st.sampled_from(["en", "xx"])
        ),
        max_size=6,
    ),
    st.sampled_from([(0, 0.0), (3, 0.3), (1, 0.9)]),
)
def test_verdicts_are_those_of_plain_rules_and_do_not_depend_on_the_batch(
    documents: list[tuple[str, str]], limits: tuple[int, float]
) -> None:
    config = CONFIG.model_copy(
        update={
            "min_words": limits[0],
            "max_symbol_word_ratio": limits[1],
            "min_alpha_word_frac": limits[1],
            "max_bullet_line_frac": limits[1],
        }
    )
    texts, languages = [text for text, _ in documents], [language for _, language in documents]
    found = verdicts(texts, languages, config)
    tokens = tokens_of(TextBatch(texts, languages))
    for index, (text, language) in enumerate(documents):
        assert found[index][0] == judge(text, tokens.words(index), language, config)
        assert found[index] == verdicts([text], [language], config)[0]


def test_verdicts_equal_those_recorded_of_datatrove(recorded: Any) -> None:
    assert {language: list(words) for language, words in STOP_WORDS.items()} == recorded.stop_words, "record again"
    batch = TextBatch(recorded.texts, recorded.languages)
    apply(batch, GopherQualityStep(step="gopher_quality"))
    assert recorded.differing("gopher_quality", batch.reasons, REASONS) == {}
    assert {entry["gopher_quality"] for entry in recorded.entries} == {"", *REASONS}


@pytest.mark.parametrize("language", ["sw", ""])
def test_in_a_language_without_list_stop_words_do_not_count_which_is_counted(language: str) -> None:
    batch = TextBatch(["one two three four", "one"], [language] * 2)
    apply(batch, CONFIG)
    assert batch.reasons == [None, "gopher: too few words"]
    assert batch.edits == {f"gopher: no stop words known for {language or 'an unnamed language'}": 1}
