from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.c4 import apply as apply_c4
from pellucid.documents.cleaning.characters import terminal_marks
from pellucid.documents.cleaning.fineweb import apply
from pellucid.documents.cleaning.tokens import tokens_of
from pellucid.recipe.cleaning import C4Step, FineWebStep

REASONS = {
    "empty": "fineweb: no text",
    "line_punct_ratio": "fineweb: too few lines end with punctuation",
    "short_line_ratio": "fineweb: too many short lines",
    "char_dup_ratio": "fineweb: characters in repeated lines",
    "list_ratio": "fineweb: too many line ends for its words",
}
PIECES = [
    "a line",
    "Another one.",
    "\n",
    "\n\n",
    "\r\n",
    "\u2028",
    "。",
    "?",
    " ",
    "\t\n",
    "word " * 12,
    "日本語。\n",
    "🙂",
    "x" * 50,
    ". \n",
]


def judge(text: str, words: list[str], config: FineWebStep) -> str | None:
    """The rules on one text, in plain Python."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "fineweb: no text"
    if sum(bool(terminal_marks()[ord(line[-1])]) for line in lines) / len(lines) < config.min_punctuated_line_frac:
        return "fineweb: too few lines end with punctuation"
    if sum(len(line) <= config.short_line_chars for line in lines) / len(lines) > config.max_short_line_frac:
        return "fineweb: too many short lines"
    again = sum(len(line) for place, line in enumerate(lines) if line in lines[:place])
    if again / len(text.replace("\n", "")) > config.max_dup_line_char_frac:
        return "fineweb: characters in repeated lines"
    return "fineweb: too many line ends for its words" if text.count("\n") / len(words) > config.max_newline_word_ratio else None


def verdicts(texts: Sequence[str], config: FineWebStep) -> list[tuple[str | None, str]]:
    batch = TextBatch(texts, ["en"] * len(texts))
    apply(batch, config)
    return list(zip(batch.reasons, batch.details, strict=True))


@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=20), max_size=6),
    st.sampled_from([0.0, 0.12, 0.5]),
    st.sampled_from([0.67, 1.0]),
    st.sampled_from([0.01, 0.3, 1.0]),
)
def test_verdicts_are_those_of_plain_rules_and_do_not_depend_on_the_batch(
    texts: list[str], ends: float, short: float, again: float
) -> None:
    config = FineWebStep(step="fineweb", min_punctuated_line_frac=ends, max_short_line_frac=short, max_dup_line_char_frac=again)
    found = verdicts(texts, config)
    tokens = tokens_of(TextBatch(texts, ["en"] * len(texts)))
    for index, text in enumerate(texts):
        assert found[index][0] == judge(text, tokens.words(index), config)
        assert found[index] == verdicts([text], config)[0]


def test_verdicts_equal_those_recorded_of_datatrove(recorded: Any) -> None:
    batch = TextBatch(recorded.texts, recorded.languages)
    apply(batch, FineWebStep(step="fineweb"))
    assert recorded.differing("fineweb", batch.reasons, REASONS) == {}
    assert {entry["fineweb"] for entry in recorded.entries} | {"empty"} == {"", *REASONS}


def test_verdicts_on_the_texts_that_c4_leaves_equal_those_recorded_of_datatrove(recorded: Any) -> None:
    batch = TextBatch(recorded.texts, recorded.languages)
    apply_c4(batch, C4Step(step="c4"))
    after = TextBatch(batch.texts, recorded.languages)
    apply(after, FineWebStep(step="fineweb"))
    assert recorded.differing("fineweb_after_c4", after.reasons, REASONS) == {}
    alive = [bool(row) for row in batch.alive_N]
    apply(batch, FineWebStep(step="fineweb"))
    again = [reason if kept else None for reason, kept in zip(batch.reasons, alive, strict=True)]
    assert again == [reason if kept else None for reason, kept in zip(after.reasons, alive, strict=True)], (
        "the words that c4 left behind"
    )
