"""A needle in its place: a prompt of an exact number of tokens, the needle at a share of the haystack, between two sentences."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pellucid.evals.needle.haystack import sentence_starts

__all__ = ["Buried", "Frame", "Plot", "fit"]

_CHARACTERS_PER_TOKEN = 4  # a first guess only
_NEARBY = 24  # characters tried on either side where no cut between two neighbours gives the exact number


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before and after the haystack in a prompt."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Buried:
    """A prompt with its needle. `place` is where in the haystack the needle really is, 0 to 1; `tokens` are the whole prompt's."""

    prompt: str
    place: float
    tokens: int
    characters: int
    """Characters of the haystack, without what is hidden in it."""


class Plot:
    """One haystack in one order, to be cut at any length and dug at any depth."""

    def __init__(self, text: str, frame: Frame, needle: str, distractors: Sequence[tuple[float, str]] = ()) -> None:
        """Hide `needle`, and each distractor at its share of the haystack."""
        self._text, self._frame, self._needle, self._distractors = text, frame, needle, tuple(distractors)
        self._starts = sentence_starts(text)
        self._least: int | None = None

    def bury(self, tokens: int, depth: float, count: Callable[[str], int], guess: int | None = None) -> Buried | None:
        """Return the prompt of `tokens` tokens with the needle at `depth` (0 to 1), or None where the text is too short for it.

        The haystack is cut where the whole prompt has the wanted number of tokens; where no cut gives it, the nearest below.
        `guess` is how many characters a similar prompt has of the haystack. Raises `ValueError` when the rest alone has too many.
        """
        cut = fit(
            lambda characters: count(self._prompt(characters, depth)[0]) if characters else self.least(count),
            tokens,
            guess or _CHARACTERS_PER_TOKEN * tokens,
            len(self._text),
        )
        if cut is None:
            return None
        characters, real = cut
        prompt, offset = self._prompt(characters, depth)
        return Buried(prompt, offset / characters if characters else 0.0, real, characters)

    def least(self, count: Callable[[str], int]) -> int:
        """Return how many tokens the prompt has without any haystack: the same at each depth, so counted once."""
        if self._least is None:
            self._least = count(self._prompt(0, 0)[0])
        return self._least

    def _prompt(self, characters: int, depth: float) -> tuple[str, int]:
        """Return the prompt over this much of the text, and the needle's offset in the text."""
        offset = self._start_before(depth * characters)
        hidden = [(offset, 0, self._needle)]
        hidden += [(self._start_before(share * characters), 1, sentence) for share, sentence in self._distractors]
        parts, done = [], 0
        for at, _, sentence in sorted(hidden):
            before = self._text[done:at]
            parts += [before, "" if not before or before[-1].isspace() else " ", sentence, " "]
            done = at
        parts.append(self._text[done:characters])
        return self._frame.before + "".join(parts) + self._frame.after, offset

    def _start_before(self, offset: float) -> int:
        """Return the beginning of a sentence that is nearest before the offset, or at it."""
        return self._starts[bisect_right(self._starts, offset) - 1]


def fit(size: Callable[[int], int], target: int, guess: int, most: int) -> tuple[int, int] | None:
    """Return how many characters have `target` tokens, with the number of tokens: the nearest below where none has exactly that.

    `size` tells the tokens of so many characters, up to `most`; it grows, though not with each character, and a character may even
    join two tokens to one. Returns None where all characters have too few. Raises `ValueError` where none has too many.
    """
    around = size(0)
    if around > target:
        raise ValueError(f"{around} tokens stand around the haystack; {target} are wanted in all")
    low, low_tokens, high = 0, around, most + 1
    at = min(max(guess, 1), most)
    while high - low > 1:
        tokens = size(at)
        if tokens == target:
            return at, tokens
        if tokens > target:
            high = at
        elif at == most:
            return None
        else:
            low, low_tokens = at, tokens
        at += round((target - tokens) * at / max(tokens - around, 1))
        if not low < at < high:
            at = (low + high) // 2
    for other in sorted(range(max(low - _NEARBY, 0), min(high + _NEARBY, most) + 1), key=lambda other: abs(other - low)):
        if size(other) == target:
            return other, target
    return low, low_tokens
