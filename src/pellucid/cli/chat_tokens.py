"""An answer's tokens in the terminal: how likely each was, and what else might have stood in its place."""

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from pellucid.cli.answering import Segment
from pellucid.core.excerpt import visible

__all__ = ["percent", "shade", "tokens_text"]

_LIMITS = (0.5, 0.2, 0.05, 0.01)
# From likely to nearly impossible, in colours that can be told apart on black as on white. The numbers beside say the same.
_STYLES = ("", "color(64)", "color(172)", "color(166)", "bold color(160)")
_MARKS = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})
_SHOWN_OTHERS = 4
_WIDEST = 24


def shade(logprob: float) -> int:
    """Return 0 for a likely token to 4 for one that was nearly impossible, as the chat page shades them."""
    return sum(math.exp(logprob) < limit for limit in _LIMITS)


def percent(logprob: float) -> str:
    """Return a probability as people read it."""
    share = 100 * math.exp(logprob)
    return "< 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"


def tokens_text(segments: Sequence[Segment], unlikeliest: int | None = None, columns: int = 120) -> Text:
    """Return the answer with its tokens shaded, and a line for each: its place, its text, its probability, what else was likely.

    With `unlikeliest`, only so many lines, of the least likely tokens, in the order of the text. A line names as many others as it
    has room for.
    """
    found = Text()
    for text, logprob, _, _ in segments:
        found.append(visible(text), _STYLES[shade(logprob)] if logprob is not None else "")
    found.append("\n\n")
    known = [(place, one, one[1]) for place, one in enumerate(segments, 1) if one[1] is not None]
    if unlikeliest is not None:
        known = sorted(sorted(known, key=lambda one: one[2])[:unlikeliest], key=lambda one: one[0])
    names = [_name(one[0]) for _, one, _ in known]
    width = min(_WIDEST, max(map(cell_len, names), default=0))
    for (place, (text, _, top, count), logprob), name in zip(known, names, strict=True):
        found.append(f"{place:>5}  ", "dim")
        found.append(name + " " * (width - cell_len(name)), _STYLES[shade(logprob)])
        found.append(f"  {percent(logprob):>7}")
        others = "" if count == 1 else f"   {count} tokens make this character; together"
        for other, its in [one for one in top if one[0] != text][:_SHOWN_OTHERS]:
            more = f"   {_name(other)} {percent(its)}"
            if cell_len(others + more) > columns - max(width, cell_len(name)) - 16:
                break
            others += more
        found.append(f"{others}\n", "dim")
    count, total = sum(one[3] for one in segments), sum(one[1] for one in segments if one[1] is not None)
    if count:
        found.append(f"{count} tokens, perplexity {math.exp(min(700.0, -total / count)):.2f}", "dim")
    return found


def _name(text: str) -> str:
    """Return a token on one line, with its blanks to be seen."""
    return visible(text.translate(_MARKS))
