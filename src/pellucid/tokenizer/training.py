"""Learning a vocabulary: byte-pair encoding over the documents, by rustbpe."""

import re
from collections.abc import Iterable, Iterator

import rustbpe

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.bpe import SPECIAL_TOKENS, BytePairTokenizer
from pellucid.tokenizer.encoder import SPLIT_PATTERN

__all__ = ["MIN_VOCAB_TOKENS", "train_bpe"]

MIN_VOCAB_TOKENS = 256 + len(SPECIAL_TOKENS)

# A document is learnt from in slices, so that one of any length costs the memory and the regex stack of a slice.
_SLICE_CHARS = 2**16

# Longer runs of letters, marks or blanks are no words: they would end up as tokens of thousands of bytes, and random ones (base64,
# sequences) would make each merge walk through megabytes.
_LONGEST_RUN_CHARS = 1024
_LONG_WORD = re.compile(rf"\w{{{_LONGEST_RUN_CHARS + 1},}}|[^\w\s]{{{_LONGEST_RUN_CHARS + 1},}}")
_LONG_BLANK = re.compile(rf"\s{{{_LONGEST_RUN_CHARS + 1},}}")


def train_bpe(texts: Iterable[str], vocab_tokens: int) -> BytePairTokenizer:
    """Learn a vocabulary of exactly `vocab_tokens` ids: 256 bytes, merges, then the special tokens of Arcade100k.

    The same texts give the same vocabulary, in whatever order they come and with any number of threads. Raises `UsageError` when
    the size leaves no room for bytes and special tokens, `DataError` when the texts do not hold enough pairs.
    """
    if vocab_tokens < MIN_VOCAB_TOKENS:
        raise UsageError(
            f"vocab_tokens got {vocab_tokens}; must be at least {MIN_VOCAB_TOKENS}: 256 bytes and {len(SPECIAL_TOKENS)} specials"
        )
    wanted = vocab_tokens - len(SPECIAL_TOKENS)
    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(_slices(texts), wanted, pattern=SPLIT_PATTERN)
    ranks = {bytes(token): rank for token, rank in learner.get_mergeable_ranks()}
    if len(ranks) < wanted:
        raise DataError(
            f"the texts only hold enough repeated pairs for vocab_tokens {len(ranks) + len(SPECIAL_TOKENS)}, asked {vocab_tokens}; "
            "lower vocab_tokens or add text"
        )
    special = {name: wanted + index for index, name in enumerate(SPECIAL_TOKENS)}
    return BytePairTokenizer(dict(sorted(ranks.items(), key=lambda item: item[1])), special, "bpe")


def _slices(texts: Iterable[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"training text {index} is no valid Unicode: {error}") from error
        for start in range(0, len(text), _SLICE_CHARS):
            piece = text[start : start + _SLICE_CHARS]
            if any(len(word) > _LONGEST_RUN_CHARS for word in piece.split()):
                piece = _LONG_WORD.sub(" ", piece)
            yield _LONG_BLANK.sub(" ", piece)
