"""The line and document rules of C4 (Raffel et al. 2020, section 2.2), in datatrove's order and with its comparisons.

Lines are removed and counted in the batch's edits, for the documents that stay; the text that stays is the lines joined by line
feeds. Lines with marks of citations, rare, are judged one by one after the marks are gone; all others together.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import NON_PUNCTUATION, sentence_ends
from pellucid.documents.cleaning.points import Points, lay_out, points_of
from pellucid.documents.cleaning.tokens import Tokens, cut_tokens
from pellucid.recipe.cleaning import C4Step

__all__ = ["apply"]

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_ENDS = tuple(map(ord, ".?!\"'"))
_STOP, _CURLY, _SPACE = ord("."), ord("{"), ord(" ")
_LOREM, _SCRIPT = "lorem ipsum", "javascript"
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

# What happens to a line, in the order in which it is asked; the two in _FATAL end the document.
_LONG_WORD, _OPEN_END, _FEW_WORDS, _FILLER, _CODE, _BRACKET, _POLICY, _KEPT = range(8)
_NAMES = {
    _LONG_WORD: "c4: line with a word too long",
    _OPEN_END: "c4: line without terminal punctuation",
    _FEW_WORDS: "c4: line with too few words",
    _CODE: "c4: line that speaks of javascript",
    _POLICY: "c4: line of a cookie or privacy notice",
    _KEPT: "c4: line with citations removed",
}
_FATAL = {_FILLER: "c4: lorem ipsum", _BRACKET: "c4: curly bracket"}


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines without the white space around them, which text they are of, what becomes of them; some have another wording."""

    begin_L: NDArray[np.int64]
    end_L: NDArray[np.int64]
    text_L: NDArray[np.int64]
    fate_L: NDArray[np.int64]
    wording: dict[int, str]


def apply(batch: TextBatch, config: C4Step) -> None:
    """Remove lines, drop documents; the texts of those that stay are replaced."""
    points = points_of(batch)
    lines = _judge(points, config)
    first_L = np.searchsorted(lines.text_L, np.arange(len(points.rows_N) + 1)).tolist()
    texts: list[str] = []
    rows: list[int] = []
    counts = np.zeros((len(points.rows_N), _KEPT + 1), dtype=np.int64)
    np.add.at(counts, (lines.text_L, lines.fate_L), 1)
    counts[:, _KEPT] = 0  # of the lines that stay only those with citations are told
    for line in lines.wording:
        counts[lines.text_L[line], _KEPT] += lines.fate_L[line] == _KEPT
    places: list[int] = []
    blank: list[int] = []  # lines that are nothing without their citations; datatrove takes them for a sentence
    begin, end = lines.begin_L.tolist(), lines.end_L.tolist()
    for text, row in enumerate(points.rows_N.tolist()):
        fate = lines.fate_L[first_L[text] : first_L[text + 1]]
        fatal = np.flatnonzero((fate == _FILLER) | (fate == _BRACKET))
        if len(fatal):
            batch.drop(row, _FATAL[int(fate[fatal[0]])])
        if not batch.alive_N[row]:
            continue
        kept = (np.flatnonzero(fate == _KEPT) + first_L[text]).tolist()
        parts = [lines.wording[line] if line in lines.wording else points.text[begin[line] : end[line]] for line in kept]
        blank.append(sum(not part or part.isspace() for part in parts))
        texts.append("\n".join(parts).strip())
        rows.append(row)
        places.append(text)
    after = lay_out(texts, np.array(rows, dtype=np.int64))
    tokens = cut_tokens(after, [batch.languages[row] for row in rows])
    if config.min_sentences:
        sentences_N = count_sentences(tokens) + np.array(blank, dtype=np.int64)
        after.drop_where(batch, sentences_N < config.min_sentences, "c4: too few sentences", sentences_N.astype(np.float64))
    for row, wording, place in zip(rows, texts, places, strict=True):
        if batch.alive_N[row]:
            batch.replace(row, wording)
            for kind in np.flatnonzero(counts[place]).tolist():
                batch.edits[_NAMES[kind]] += int(counts[place, kind])
    batch.cache |= {"points": after, "tokens": tokens}


def _line(points: Points, lines: _Lines, line: int) -> str:
    return points.text[lines.begin_L[line] : lines.end_L[line]]


def _judge(points: Points, config: C4Step) -> _Lines:
    """Return what becomes of each line: the first of the rules that it breaks."""
    spans = points.lines
    begin_L, end_L = points.stripped(spans.begin_L, spans.end_L)
    marks = points.marks
    run_begin = np.flatnonzero(np.diff(marks, prepend=-2) != 1)
    long_runs = marks[run_begin[np.diff(run_begin, append=len(marks)) > config.max_word_chars]]
    run_begin = marks[run_begin]
    broken: dict[int, NDArray[np.bool_]] = {}
    broken[_LONG_WORD] = np.zeros(len(begin_L), dtype=bool)
    broken[_LONG_WORD][np.searchsorted(end_L, long_runs, side="right")] = True
    broken[_OPEN_END] = _open_ends(points, begin_L, end_L) & config.terminal_punctuation
    words_L = np.searchsorted(run_begin, end_L) - np.searchsorted(run_begin, begin_L)
    broken[_FEW_WORDS] = words_L < config.min_words_per_line
    broken[_BRACKET] = np.zeros(len(begin_L), dtype=bool)
    if config.drop_curly_bracket:
        broken[_BRACKET][np.searchsorted(end_L, np.flatnonzero(points.codes_X == _CURLY), side="right")] = True
    fate_L = np.full(len(begin_L), _KEPT)
    for fate in (_BRACKET, _FEW_WORDS, _OPEN_END, _LONG_WORD):
        fate_L[broken[fate]] = fate
    lines = _Lines(begin_L, end_L, spans.text_L, fate_L, {})
    for line in _lines_with_phrases(points, lines, config):
        if fate_L[line] in (_BRACKET, _KEPT):
            fate_L[line] = _judge_wording(_line(points, lines, line), config)
    if config.remove_citations:
        places = [match.start() for match in _CITATION.finditer(points.text)]
        for line in np.unique(np.searchsorted(end_L, places, side="right")).tolist():
            if fate_L[line] != _LONG_WORD:
                wording = lines.wording[line] = _CITATION.sub("", _line(points, lines, line))
                fate_L[line] = _judge_line(wording, int(words_L[line]), config)
    return lines


def _open_ends(points: Points, begin_L: NDArray[np.int64], end_L: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a line does not end with a mark that ends a sentence, or ends with an ellipsis."""
    last_L = points.codes_X[end_L - 1]
    open_L: NDArray[np.bool_] = ~np.isin(last_L, _ENDS) | (end_L == begin_L)
    dots_L = ~open_L & (last_L == _STOP) & (end_L - begin_L > 2)
    dots_L[dots_L] = (points.codes_X[end_L[dots_L] - 2] == _STOP) & (points.codes_X[end_L[dots_L] - 3] == _STOP)
    open_L |= dots_L
    return open_L


def _lines_with_phrases(points: Points, lines: _Lines, config: C4Step) -> list[int]:
    """Return the lines of texts that hold one of the phrases anywhere."""
    phrases = _phrases(config)
    found: list[int] = []
    for text, (begin, end) in enumerate(zip(points.begin_N.tolist(), points.end_N.tolist(), strict=True)):
        lower = points.text[begin:end].lower()
        if any(phrase in lower for phrase in phrases):
            found += range(*np.searchsorted(lines.text_L, (text, text + 1)).tolist())
    return found


def _phrases(config: C4Step) -> tuple[str, ...]:
    lorem = (_LOREM,) if config.drop_lorem_ipsum else ()
    script = (_SCRIPT,) if config.remove_javascript else ()
    return lorem + script + (_POLICIES if config.remove_policy else ())


def _judge_line(line: str, words: int, config: C4Step) -> int:
    if config.terminal_punctuation and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
        return _OPEN_END
    return _FEW_WORDS if words < config.min_words_per_line else _judge_wording(line, config)


def _judge_wording(line: str, config: C4Step) -> int:
    lower = line.lower()
    if config.drop_lorem_ipsum and _LOREM in lower:
        return _FILLER
    if config.remove_javascript and _SCRIPT in lower:
        return _CODE
    if config.drop_curly_bracket and "{" in line:
        return _BRACKET
    return _POLICY if config.remove_policy and any(phrase in lower for phrase in _POLICIES) else _KEPT


def count_sentences(tokens: Tokens) -> NDArray[np.int64]:
    """Return how many sentences each text has, line by line, as spaCy's sentencizer counts them.

    A sentence begins with a line, and with the first word that is more than punctuation after a word that ends a sentence. White
    space other than one blank is such a word.
    """
    points, texts = tokens.points, len(tokens.points.rows_N)
    if not len(tokens.begin_W):
        return np.zeros(texts, dtype=np.int64)
    begin_W, end_W = tokens.begin_W, tokens.end_W
    line_W = np.searchsorted(points.line_feeds, begin_W)
    fresh_W = np.diff(line_W, prepend=-1) != 0
    ends_W = (end_W - begin_W == 1) & sentence_ends()[points.codes_X[begin_W]]
    gap_W = begin_W - np.concatenate((np.zeros(1, np.int64), end_W[:-1]))
    wide_W = ~fresh_W & ((gap_W > 1) | ((gap_W == 1) & (points.codes_X[begin_W - 1] != _SPACE)))
    opens_W = (((tokens.traits & NON_PUNCTUATION) != 0) & ~ends_W) | wide_W
    before_W = np.cumsum(ends_W) - ends_W
    # A line's first word is counted whether it opens or not, so that ends of the line before do not reach over.
    mark_W = np.flatnonzero(opens_W | fresh_W)
    starts = np.diff(before_W[mark_W], prepend=0) > 0
    starts &= opens_W[mark_W]
    starts |= fresh_W[mark_W]
    return np.bincount(tokens.text_numbers[mark_W[starts]], minlength=texts)
