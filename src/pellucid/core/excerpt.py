"""Text of unknown origin made fit to be shown: nothing in it can steer a terminal, hide or turn round what stands beside it."""

import re
import unicodedata

__all__ = ["excerpt", "one_line", "visible"]

# Line and paragraph separators, marks and overrides of direction, the byte order mark, and the invisible tag characters.
_UNSEEN = (
    *range(0x80, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xE0000, 0xE0080),
)
_SHOWN = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_SHOWN |= {0x7F: "\u2421"} | {code: f"⟨U+{code:04X}⟩" for code in _UNSEEN}
_JOINERS = "\u200d\ufe0e\ufe0f"
_LONGEST_CLUSTER = 16


def visible(text: str) -> str:
    """Return the text with control and direction characters as visible signs: ESC as ␛, U+202E as ⟨U+202E⟩.

    Line feeds and tabs stay. A terminal takes no command from what is returned.
    """
    return text.translate(_SHOWN)


def excerpt(text: str, chars: int) -> str:
    """Return the first `chars` characters, made visible, with … where more follows.

    A letter is not parted from the accents on it, nor an emoji from what it is joined with.
    """
    if len(text) <= chars:
        return visible(text)
    end = chars
    while end < min(len(text), chars + _LONGEST_CLUSTER) and _continues(text[end - 1], text[end]):
        end += 1
    return visible(text[:end]) + ("…" if end < len(text) else "")


def one_line(text: str, chars: int) -> str:
    """Return an excerpt on one line: the ends of lines are ↵, other runs of blanks are one space."""
    # A run of blanks shrinks: twice as much is looked at, which is enough for all but blank pages.
    lines = re.sub(r"[^\S\n]+", " ", text[: 2 * chars + 200])
    short = re.sub(r" ?\n[ \n]*", " ↵ ", lines.strip())
    shown = excerpt(short, chars)
    return shown if shown.endswith("…") or len(text) <= 2 * chars + 200 else shown + "…"


def _continues(before: str, after: str) -> bool:
    return after in _JOINERS or before == "\u200d" or unicodedata.category(after) in ("Mn", "Me", "Mc")
