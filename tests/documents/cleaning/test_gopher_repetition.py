import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.gopher_repetition import apply
from pellucid.documents.cleaning.tokens import tokens_of
from pellucid.recipe.cleaning import GopherRepetitionStep

REASONS = {
    "dup_para_frac": "gopher repetition: repeated paragraphs",
    "dup_para_char_frac": "gopher repetition: characters in repeated paragraphs",
    "dup_line_frac": "gopher repetition: repeated lines",
    "dup_line_char_frac": "gopher repetition: characters in repeated lines",
    **{f"top_{n}_gram": f"gopher repetition: most frequent {n}-gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"gopher repetition: repeated {n}-grams" for n in range(5, 11)},
}
PIECES = [
    "a ",
    "b ",
    "ab ",
    "a b c d e ",
    "one two three four five six ",
    "\n",
    "\n\n",
    "\n\n\n",
    ".",
    ", ",
    "日本語",
    "🙂 ",
    "\r\n",
    "\u2028",
    "x" * 40,
    "Line.\n",
    " ",
]


def repeated(parts: list[str]) -> tuple[int, int]:
    again = [part for place, part in enumerate(parts) if part in parts[:place]]
    return len(again), sum(map(len, again))


def scan(words: list[str], n: int) -> int:
    seen: set[str] = set()
    total = place = 0
    while place + n <= len(words):
        gram = "".join(words[place : place + n])
        if gram in seen:
            total, place = total + len(gram), place + n
        else:
            seen.add(gram)
            place += 1
    return total


def judge(text: str, words: list[str], config: GopherRepetitionStep) -> str | None:
    """The rules on one text, in plain Python."""
    if not text:
        return "gopher repetition: empty text"
    for name, parts, most, most_chars in (
        ("paragraphs", re.split(r"\n{2,}", text.strip()), config.max_dup_paragraph_frac, config.max_dup_paragraph_char_frac),
        ("lines", re.split(r"\n+", text), config.max_dup_line_frac, config.max_dup_line_char_frac),
    ):
        count, chars = repeated(parts)
        if count / len(parts) > most:
            return f"gopher repetition: repeated {name}"
        if chars / len(text) > most_chars:
            return f"gopher repetition: characters in repeated {name}"
    for n, most in config.max_top_ngram_char_frac.items():
        grams = Counter(" ".join(words[place : place + n]) for place in range(len(words) - n + 1))
        if grams:
            gram, count = grams.most_common(1)[0]
            if len(gram) * count / len(text) > most:
                return f"gopher repetition: most frequent {n}-gram"
    for n, most in config.max_dup_ngram_char_frac.items():
        if scan(words, n) / len(text) > most:
            return f"gopher repetition: repeated {n}-grams"
    return None


def verdicts(texts: Sequence[str], languages: Sequence[str], config: GopherRepetitionStep) -> list[tuple[str | None, str]]:
    batch = TextBatch(texts, languages)
    apply(batch, config)
    return list(zip(batch.reasons, batch.details, strict=True))


configs = st.builds(
    lambda lines, top, runs: GopherRepetitionStep(
        step="gopher_repetition",
        max_dup_line_frac=lines,
        max_dup_paragraph_frac=lines,
        max_dup_line_char_frac=lines,
        max_dup_paragraph_char_frac=lines,
        max_top_ngram_char_frac=dict.fromkeys((2, 3, 4), top),
        max_dup_ngram_char_frac=dict.fromkeys((2, 3, 5, 6, 10), runs),
    ),
    st.sampled_from([0.3, 0.1, 1.0]),
    st.sampled_from([0.2, 0.4, 1.0]),
    st.sampled_from([0.1, 0.3, 0.5]),
)


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=20), max_size=6), configs)
def test_verdicts_are_those_of_plain_rules_and_do_not_depend_on_the_batch(texts: list[str], config: GopherRepetitionStep) -> None:
    languages = ["en"] * len(texts)
    found = verdicts(texts, languages, config)
    tokens = tokens_of(TextBatch(texts, languages))
    for index, text in enumerate(texts):
        assert found[index][0] == judge(text, tokens.words(index), config)
        assert found[index] == verdicts([text], ["en"], config)[0]


def test_verdicts_equal_those_recorded_of_datatrove(recorded: Any) -> None:
    batch = TextBatch(recorded.texts, recorded.languages)
    apply(batch, GopherRepetitionStep(step="gopher_repetition"))
    assert recorded.differing("gopher_repetition", batch.reasons, REASONS) == {}
    assert {entry["gopher_repetition"] for entry in recorded.entries} >= {"", *REASONS}


def test_a_word_longer_than_the_length_that_is_sorted_with_still_counts_in_full() -> None:
    text = " ".join(["y" * 9000, "z", *map(str, range(3000))])
    assert verdicts([text], ["en"], GopherRepetitionStep(step="gopher_repetition")) == [
        ("gopher repetition: most frequent 2-gram", f"{9002 / len(text):.4g}")
    ]
