"""Text of unknown origin made fit to be shown: nothing in it can steer a terminal, hide or turn round what stands beside it."""

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["excerpt", "in_words", "one_line", "visible"]

# First and last of what is not seen: control characters; format characters (category Cf: direction, word joiners, annotations,
# tags) but for the Arabic, Syriac and Kaithi signs among them that have a shape; line and paragraph separators; fillers for
# Hangul and other letters without a shape; the supplement of variation selectors.
_UNSEEN = (
    *((0x80, 0x9F), (0xAD, 0xAD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180E, 0x180E)),
    *((0x200B, 0x200B), (0x200E, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_SHOWN = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_SHOWN |= {0x7F: "\u2421"} | {code: f"⟨U+{code:04X}⟩" for first, last in _UNSEEN for code in range(first, last + 1)}
_JOINER = re.compile("[\u200c\u200d]")
_EXTENDING = "\u200c\u200d\ufe0e\ufe0f"
_LONGEST_CLUSTER = 16


def visible(text: str) -> str:
    """Return the text with control, direction and invisible characters as visible signs: ESC as ␛, U+202E as ⟨U+202E⟩.

    Line feeds and tabs stay, and so do joiners and non-joiners between two letters or emoji, which scripts need. A terminal takes
    no command from what is returned.
    """
    return _JOINER.sub(_joiner, text).translate(_SHOWN)


def excerpt(text: str, chars: int) -> str:
    """Return the first `chars` characters, made visible, with … where more follows.

    A letter is not parted from the accents on it, nor an emoji from what it is joined with.
    """
    if len(text) <= chars:
        return visible(text)
    end = chars
    while end < min(len(text), chars + _LONGEST_CLUSTER) and _continues(text[end - 1], text[end]):
        end += 1
    # What a joiner joins decides how it is shown, so none ends an excerpt.
    while end > 1 and _JOINER.match(text[end - 1]):
        end -= 1
    return visible(text[:end]) + ("…" if end < len(text) else "")


def one_line(text: str, chars: int) -> str:
    """Return an excerpt on one line: the ends of lines are ↵, other runs of blanks are one space."""
    # A run of blanks shrinks: twice as much is looked at, which is enough for all but blank pages.
    lines = re.sub(r"[^\S\n]+", " ", text[: 2 * chars + 200])
    short = re.sub(r" ?\n[ \n]*", " ↵ ", lines.strip())
    shown = excerpt(short, chars)
    return shown if shown.endswith("…") or len(text) <= 2 * chars + 200 else shown + "…"


def _continues(before: str, after: str) -> bool:
    return after in _EXTENDING or before == "\u200d" or unicodedata.category(after) in ("Mn", "Me", "Mc")


def _joiner(found: re.Match[str]) -> str:
    """Return a joiner between letters, marks or emoji as it is, any other as a sign."""
    text, at = found.string, found.start()
    joins = 0 < at < len(text) - 1 and _is_joined(text[at - 1]) and _is_joined(text[at + 1])
    return found[0] if joins else f"⟨U+{ord(found[0]):04X}⟩"


def _is_joined(char: str) -> bool:
    # Arrows among emoji are mathematical signs (Sm), shades of skin are modifiers (Sk).
    return ord(char) not in _SHOWN and (unicodedata.category(char)[0] in "LM" or unicodedata.category(char) in ("So", "Sk", "Sm"))


def in_words(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: a, b and c. There must be one."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
