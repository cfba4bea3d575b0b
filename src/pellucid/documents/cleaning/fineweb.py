"""The rules that FineWeb added (Penedo et al. 2024, section 3.5), with datatrove's order, thresholds and comparisons."""

import numpy as np

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import terminal_marks
from pellucid.documents.cleaning.points import fractions, repeats
from pellucid.documents.cleaning.tokens import tokens_of
from pellucid.recipe.cleaning import FineWebStep

__all__ = ["apply"]


def apply(batch: TextBatch, config: FineWebStep) -> None:
    """Drop the documents that break a rule; the first rule broken is the reason. Blank lines do not count as lines."""
    tokens = tokens_of(batch)
    points, texts = tokens.points, len(tokens.points.rows_N)
    pieces = points.pieces
    begin_L, end_L = points.stripped(pieces.begin_L, pieces.end_L)
    lines = pieces.keep(end_L > begin_L)
    lines_N = np.bincount(lines.text_L, minlength=texts)
    points.drop_where(batch, lines_N == 0, "fineweb: no text", lines_N.astype(np.float64))

    ends_L = terminal_marks()[points.codes_X[lines.end_L - 1]]
    share_N = fractions(np.bincount(lines.text_L[ends_L], minlength=texts), lines_N)
    points.drop_where(batch, share_N < config.min_punctuated_line_frac, "fineweb: too few lines end with punctuation", share_N)

    short_L = lines.chars <= config.short_line_chars
    share_N = fractions(np.bincount(lines.text_L[short_L], minlength=texts), lines_N)
    points.drop_where(batch, share_N > config.max_short_line_frac, "fineweb: too many short lines", share_N)

    repeated_L = repeats(points.numbers(lines.begin_L, lines.end_L), lines.text_L)
    repeated_N = np.bincount(lines.text_L[repeated_L], weights=lines.chars[repeated_L], minlength=texts)
    feeds_N = np.bincount(pieces.text_L, minlength=texts) - 1
    share_N = fractions(repeated_N, points.chars - feeds_N)
    points.drop_where(batch, share_N > config.max_dup_line_char_frac, "fineweb: characters in repeated lines", share_N)

    ratio_N = fractions(feeds_N, np.diff(tokens.offsets_N1))
    points.drop_where(batch, ratio_N > config.max_newline_word_ratio, "fineweb: too many line ends for its words", ratio_N)
