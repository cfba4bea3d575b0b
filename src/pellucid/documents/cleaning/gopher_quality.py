"""The document rules of Gopher (Rae et al. 2021, Appendix A1.1), with datatrove's order, thresholds and comparisons.

The rule of stop words has lists for seven languages; in any other it does not apply, which is counted in the batch's edits. Unlike
in datatrove a largest value of 0 does not switch a rule off: it allows none.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import ALPHA, NON_SYMBOL
from pellucid.documents.cleaning.points import Points, fractions, lay_out
from pellucid.documents.cleaning.stop_words import STOP_WORDS
from pellucid.documents.cleaning.tokens import Tokens, tokens_of
from pellucid.recipe.cleaning import GopherQualityStep

__all__ = ["apply"]

_BULLETS = (ord("•"), ord("-"))
_STOP, _ELLIPSIS = ord("."), ord("…")


def apply(batch: TextBatch, config: GopherQualityStep) -> None:
    """Drop the documents that break a rule; the first rule broken is the reason."""
    tokens = tokens_of(batch)
    points = tokens.points
    words_N = np.diff(tokens.offsets_N1)
    named_W = (tokens.traits & NON_SYMBOL) != 0
    named_N = tokens.sums(named_W)

    def drop(mask_N: NDArray[np.bool_], reason: str, values_N: NDArray[np.float64] | NDArray[np.int64]) -> None:
        points.drop_where(batch, mask_N, f"gopher: {reason}", values_N.astype(np.float64))

    drop(named_N < config.min_words, "too few words", named_N)
    drop(named_N > config.max_words, "too many words", named_N)
    mean_N = fractions(tokens.sums(tokens.chars * named_W), named_N)
    drop((mean_N < config.min_mean_word_chars) & (named_N > 0), "words too short", mean_N)
    drop(mean_N > config.max_mean_word_chars, "words too long", mean_N)
    texts = [batch.texts[row] for row in points.rows_N.tolist()]
    hashes_N = fractions(np.array([text.count("#") for text in texts], dtype=np.int64), words_N)
    drop(hashes_N > config.max_symbol_word_ratio, "too many hash signs", hashes_N)
    ellipses_N = fractions(np.array([text.count("...") + text.count("…") for text in texts], dtype=np.int64), words_N)
    drop(ellipses_N > config.max_symbol_word_ratio, "too many ellipses", ellipses_N)
    bullets_N, open_ends_N = _line_shares(points)
    drop(bullets_N > config.max_bullet_line_frac, "too many bullet lines", bullets_N)
    drop(open_ends_N > config.max_ellipsis_line_frac, "too many lines end in an ellipsis", open_ends_N)
    alpha_N = fractions(tokens.sums((tokens.traits & ALPHA) != 0), words_N)
    drop((alpha_N < config.min_alpha_word_frac) & (words_N > 0), "too few words with a letter", alpha_N)
    if config.min_stop_words:
        found_N, known_N = _count_stop_words(tokens, [batch.languages[row] for row in points.rows_N.tolist()])
        drop(known_N & (found_N < config.min_stop_words), "too few stop words", found_N)
        unknown = points.rows_N[~known_N & batch.alive_N[points.rows_N]].tolist()
        for language, count in sorted(Counter(batch.languages[row] for row in unknown).items()):
            batch.edits[f"gopher: no stop words known for {language or 'an unnamed language'}"] += count


def _line_shares(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each text the share of its lines that begin with a bullet, and that end with an ellipsis."""
    lines = points.lines
    begin_L, end_L = points.stripped(lines.begin_L, lines.end_L)
    filled_L = end_L > begin_L
    last_L = points.codes_X[end_L - 1]
    bullet_L = np.isin(points.codes_X[begin_L], _BULLETS) & filled_L
    dots_L = (last_L == _STOP) & (end_L - begin_L > 2)
    dots_L[dots_L] = (points.codes_X[end_L[dots_L] - 2] == _STOP) & (points.codes_X[end_L[dots_L] - 3] == _STOP)
    open_L = ((last_L == _ELLIPSIS) | dots_L) & filled_L
    texts = len(points.rows_N)
    lines_N = np.bincount(lines.text_L, minlength=texts)
    shares = (fractions(np.bincount(lines.text_L[mask_L], minlength=texts), lines_N) for mask_L in (bullet_L, open_L))
    return next(shares), next(shares)


def _count_stop_words(tokens: Tokens, languages: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return how many different stop words of its language each text has, and whether any are known for it."""
    found_N, known_N = np.zeros(len(languages), dtype=np.int64), np.zeros(len(languages), dtype=bool)
    for language in sorted(STOP_WORDS.keys() & set(languages)):
        own_N = np.array([other == language for other in languages])
        words = lay_out(STOP_WORDS[language], np.zeros(0, dtype=np.int64))
        numbers = np.sort(words.numbers(words.begin_N, words.end_N))
        seen = np.zeros(1 << 16, dtype=bool)
        seen[numbers >> np.uint64(48)] = True
        candidate_W = np.flatnonzero(seen[tokens.numbers >> np.uint64(48)])
        text = tokens.text_numbers[candidate_W]
        place = np.minimum(np.searchsorted(numbers, tokens.numbers[candidate_W]), len(numbers) - 1)
        stop = (numbers[place] == tokens.numbers[candidate_W]) & own_N[text]
        present = np.zeros((len(languages), len(numbers)), dtype=bool)
        present[text[stop], place[stop]] = True
        found_N[own_N] = present.sum(axis=1)[own_N]
        known_N |= own_N
    return found_N, known_N
