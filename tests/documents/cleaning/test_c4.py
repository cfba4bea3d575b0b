import hashlib
import re
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.c4 import apply, count_sentences
from pellucid.documents.cleaning.tokens import tokens_of
from pellucid.recipe.cleaning import C4Step

REASONS = {
    "too_few_sentences": "c4: too few sentences",
    "lorem_ipsum": "c4: lorem ipsum",
    "curly_bracket": "c4: curly bracket",
}
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
LINE_ENDS = ["\n", "\r\n", "\r", "\u2028", "\x85", ".\n"]
PHRASES = [
    "[1]",
    "[edit]",
    " [citation needed]",
    "{",
    "Lorem ipsum",
    "JavaScript",
    "java[2]script",
    "terms of use",
    "uses coo\u212aies",
]
PIECES = [
    "A line. ",
    "One more sentence here.",
    "...",
    "?",
    "x" * 12,
    " ",
    "\u3000",
    "“Yes!” ",
    "日本語。",
    "'",
    *LINE_ENDS,
    *PHRASES,
]


def sentences(line: str) -> int:
    batch = TextBatch([line], ["en"])
    return int(count_sentences(tokens_of(batch))[0])


def judge(text: str, config: C4Step) -> tuple[str | None, str]:
    """The rules on one text, in plain Python: the reason, and the text that stays."""
    kept: list[str] = []
    count = 0
    for whole in text.splitlines():
        line = whole.strip()
        words = line.split()
        if any(len(word) > config.max_word_chars for word in words):
            continue
        if config.remove_citations:
            line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)
        if config.terminal_punctuation and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        if len(words) < config.min_words_per_line:
            continue
        lower = line.lower()
        if config.drop_lorem_ipsum and "lorem ipsum" in lower:
            return "c4: lorem ipsum", text
        if config.remove_javascript and "javascript" in lower:
            continue
        if config.drop_curly_bracket and "{" in line:
            return "c4: curly bracket", text
        if config.remove_policy and any(phrase in lower for phrase in POLICIES):
            continue
        count += sentences(line) if line.strip() else 1
        kept.append(line)
    return ("c4: too few sentences", text) if count < config.min_sentences else (None, "\n".join(kept).strip())


def results(texts: Sequence[str], config: C4Step) -> tuple[list[tuple[str | None, str, str]], TextBatch]:
    batch = TextBatch(texts, ["en"] * len(texts))
    apply(batch, config)
    return list(zip(batch.reasons, batch.texts, batch.details, strict=True)), batch


@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=20), max_size=6),
    st.builds(
        lambda ends, citations, few, words: C4Step(
            step="c4",
            terminal_punctuation=ends,
            remove_citations=citations,
            min_sentences=few,
            min_words_per_line=words,
            max_word_chars=20,
        ),
        st.booleans(),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
)
def test_texts_and_verdicts_are_those_of_plain_rules_and_do_not_depend_on_the_batch(texts: list[str], config: C4Step) -> None:
    found, batch = results(texts, config)
    for index, text in enumerate(texts):
        assert found[index][:2] == judge(text, config)
        assert found[index] == results([text], config)[0][0]
    left = tokens_of(batch)
    fresh = TextBatch([batch.texts[row] for row in left.points.rows_N.tolist()], ["en"] * len(left.points.rows_N))
    for place, row in enumerate(left.points.rows_N.tolist()):
        if batch.alive_N[row]:
            assert left.words(place) == tokens_of(fresh).words(place)


def test_texts_and_verdicts_equal_those_recorded_of_datatrove(recorded: Any) -> None:
    batch = TextBatch(recorded.texts, recorded.languages)
    apply(batch, C4Step(step="c4"))
    assert recorded.differing("c4", batch.reasons, REASONS) == {}
    assert {entry["c4"] for entry in recorded.entries} == {"", *REASONS}
    for entry, text in zip(recorded.entries, batch.texts, strict=True):
        if "c4_text" in entry:
            assert hashlib.sha256(text.encode()).hexdigest()[:16] == entry["c4_text"], entry


def test_lines_are_counted_by_what_removed_them_in_the_documents_that_stay() -> None:
    lines = [
        "This is a line.",
        "No end here",
        "Too short.",
        "Please enable JavaScript now.",
        "This site uses cookies.",
        "Said it before[1].",
        "w" * 1001 + " is long, long.",
    ]
    _, batch = results(
        ["\n".join(lines), "No end here\nOne. Two is.", "Nothing ends\nThis is { it."], C4Step(step="c4", min_sentences=2)
    )
    assert batch.texts[0] == "This is a line.\nSaid it before."
    assert batch.reasons == [None, None, "c4: curly bracket"]
    assert batch.edits == {
        "c4: line without terminal punctuation": 2,
        "c4: line with too few words": 1,
        "c4: line that speaks of javascript": 1,
        "c4: line of a cookie or privacy notice": 1,
        "c4: line with citations removed": 1,
        "c4: line with a word too long": 1,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One", 1),
        ("One. Two.", 2),
        ("One.Two", 2),
        ("One.  ) Two?!) Three", 3),
        (". . One", 2),
        ("One...\nTwo!", 2),
        ("e.g. this. That", 2),
        ("One. \u3000)", 2),
        ("One. )", 1),
        ("", 0),
    ],
)
def test_sentences_are_counted_as_by_the_sentencizer(text: str, expected: int) -> None:
    assert sentences(text) == expected
