"""Repair of encoding damage and whitespace.

Mojibake (UTF-8 read as Latin-1 or Windows-1252) is undone by ftfy, line by line, where a line shows the two characters that a
two-byte letter turns into; lone C1 controls are read as Windows-1252, as the WHATWG encoding standard reads Latin-1.
Normalisation is Unicode's (UAX #15). Which characters are line ends, spaces and invisible follows the Unicode Character Database;
the joiners stay where the scripts and emoji sequences that use them do (Unicode 16, sections 12 and 23.2; UTS #51), the
zero-width space in scripts that mark words with it. The ideographic space U+3000 and the space of Ogham are typography and stay.
"""

import re
import unicodedata
from collections import Counter
from functools import cache
from typing import Any, Literal

from pellucid.core.errors import MissingExtraError
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.normal import normal_form
from pellucid.recipe.cleaning import UnicodeStep

__all__ = ["apply", "repair"]

_CONTROLS = bytes([*range(9), *range(11, 32), 127])
_OUTSIDE, _AT_ESCAPE, _AT_PARAMETERS, _AT_INTERMEDIATES = range(4)
_C0 = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

# What bytes 0x80 to 0xBF become when read as Windows-1252 or Latin-1, after what bytes 0xC2 to 0xF4 become.
_TRAIL = "\x80-\xbf" + "".join(bytes([byte]).decode("cp1252", errors="ignore") for byte in range(0x80, 0xA0))
_MOJIBAKE = re.compile(f"[\xc2-\xf4][{_TRAIL}]")
_C1 = re.compile(r"[\x80-\x84\x86-\x9f]")
_CP1252 = {byte: bytes([byte]).decode("cp1252", errors="ignore") or None for byte in range(0x80, 0xA0)}

# Characters outside ASCII that may have to go or to change; the rules below decide.
_SUSPECTS = re.compile(
    "[\x80-\xa0\xad\u034f\u061c\u2000-\u200f\u2028-\u202f\u205f-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffc\ufffe\uffff\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile("[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u2000-\u200a\u202f\u205f]")
_SPACES_BUT_NARROW = re.compile("[\xa0\u2000-\u200a\u205f]")
_MONGOLIAN = re.compile("[\u1800-\u18af]")
_SOFT_HYPHENS = re.compile("\xad")
# Arabic to Tibetan, Burmese, Khmer, Mongolian, Arabic forms, and the younger Indic scripts of plane 1.
_JOINING = "\u0600-\u0fff\u1000-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefe\U00010a00-\U00011fff"
_EMOJI = "\xa9\xae\u203c-\u3299\U0001f000-\U0001faff"
_JOINERS = re.compile(f"(?<![{_JOINING}])\u200c|(?<![{_JOINING}{_EMOJI}\ufe0f])\u200d|(?<=[{_EMOJI}\ufe0f])\u200d(?![{_EMOJI}])")
_WORD_SPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\u1a20-\u1aaf"
_INVISIBLE = re.compile(
    f"(?<![{_WORD_SPACED}])\u200b|[\u034f\u2060-\u2064\u206a-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffc\ufffe\uffff]"
)
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")
_TAGS = re.compile("(?<!\U0001f3f4)(?<![\U000e0020-\U000e007e])[\U000e0000-\U000e007f]+")  # tags spell regions after a black flag
_BLANK_LINES = re.compile(r"\n{4,}")


def apply(batch: TextBatch, config: UnicodeStep) -> None:
    """Repair the texts; drop those with a larger share of U+FFFD than allowed and those of which nothing is left.

    Edits are counted by kind: "unicode: mojibake" in lines, "unicode: normalised" in documents, all others in characters removed or
    replaced. Raises `MissingExtraError` when there is mojibake and no ftfy.
    """
    for row in batch.rows:
        text = repair(batch.texts[row], config, batch.edits)
        batch.replace(row, text)
        if not text or text.isspace():
            batch.drop(row, "unicode: nothing left")
        elif not text.isascii() and (share := text.count("\ufffd") / len(text)) > config.max_replacement_frac:
            batch.drop(row, "unicode: replacement characters", f"{share:.4g}")


def repair(text: str, config: UnicodeStep, edits: Counter[str]) -> str:
    """Return the text repaired and count what was done; repairing it again changes nothing."""
    if not text.isascii():
        if config.mend_mojibake and _MOJIBAKE.search(text):
            text = _mend(text, edits)
        if _SUSPECTS.search(text):
            text = _clear(text, config.mend_mojibake, edits)
        form: Literal["NFC", "NFKC"] = "NFKC" if config.form == "nfkc" else "NFC"
        if config.form != "none" and not unicodedata.is_normalized(form, text):
            text = normal_form(text, form)
            edits["unicode: normalised"] += 1
    raw = text.encode(errors="replace")
    if len(raw.translate(None, _CONTROLS)) != len(raw):
        if "\r" in text:
            edits["unicode: line ends"] += text.count("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\x08" in text or "\x1b[" in text:
            text = "\n".join([_strike(line, edits) for line in text.split("\n")])
        text = _replace(text, "line ends", _LINE_ENDS, "\n", edits)
        text = _replace(text, "control characters", _C0, "", edits)
    return _trim(text, edits)


def _mend(text: str, edits: Counter[str]) -> str:
    """Undo mojibake in the lines that show it."""
    fix_encoding = _ftfy()
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _MOJIBAKE.search(line) and (mended := fix_encoding(line)) != line:
            lines[number] = mended
            edits["unicode: mojibake"] += 1
    return "\n".join(lines)


def _clear(text: str, mend: bool, edits: Counter[str]) -> str:
    """Make all spaces and line ends outside ASCII ordinary ones and remove what is invisible without a purpose."""
    if mend and (controls := len(_C1.findall(text))):
        edits["unicode: control characters"] += controls
        text = text.translate(_CP1252)
    text = _replace(text, "line ends", _LINE_ENDS, "\n", edits)
    text = _replace(text, "spaces", _SPACES_BUT_NARROW if _MONGOLIAN.search(text) else _SPACES, " ", edits)
    text = _replace(text, "soft hyphens", _SOFT_HYPHENS, "", edits)
    text = _replace(text, "control characters", _C1, "", edits)
    text = _replace(text, "invisible characters", _INVISIBLE, "", edits)
    text = _replace(text, "invisible characters", _JOINERS, "", edits)
    text = _replace(text, "invisible characters", _TAGS, "", edits)
    if not _RIGHT_TO_LEFT.search(text):
        text = _replace(text, "invisible characters", _DIRECTIONS, "", edits)
    return text


def _strike(line: str, edits: Counter[str]) -> str:
    """Carry out a line's backspaces (man prints bold with them) and remove its control sequences (ECMA-48, 5.4: colours).

    What a removal joins may be a sequence or a struck letter again; one pass with a stack finds these however deep they lie.
    """
    if "\x08" not in line and "\x1b[" not in line:
        return line
    kept: list[str] = []
    places: list[int] = []  # of each character kept, in a control sequence
    removed = 0
    for char in line:
        if char == "\x08" and kept and kept[-1] != "\x08":
            kept.pop()
            places.pop()
            removed += 1
            continue
        before = places[-1] if places else _OUTSIDE
        place = _OUTSIDE
        if char == "\x1b":
            place = _AT_ESCAPE
        elif (before == _AT_ESCAPE and char == "[") or (before == _AT_PARAMETERS and "0" <= char <= "?"):
            place = _AT_PARAMETERS
        elif before >= _AT_PARAMETERS and " " <= char <= "/":
            place = _AT_INTERMEDIATES
        elif before >= _AT_PARAMETERS and "@" <= char <= "~":
            while kept.pop() != "\x1b":
                places.pop()
            places.pop()
            removed += 1
            continue
        kept.append(char)
        places.append(place)
    edits["unicode: control characters"] += removed
    return "".join(kept)


def _trim(text: str, edits: Counter[str]) -> str:
    """Remove blanks at the ends of lines, and blank lines after the second in a row."""
    before = len(text)
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
        edits["unicode: trailing blanks"] += before - len(text)
        before = len(text)
    if "\n\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n\n", text)
        edits["unicode: blank lines"] += before - len(text)
    return text


def _replace(text: str, kind: str, pattern: re.Pattern[str], by: str, edits: Counter[str]) -> str:
    text, count = pattern.subn(by, text)
    if count:
        edits[f"unicode: {kind}"] += count
    return text


@cache
def _ftfy() -> Any:
    try:
        from ftfy import fix_encoding
    except ModuleNotFoundError as error:
        raise MissingExtraError("ftfy", "clean", "undoing mojibake (unicode.mend_mojibake)") from error
    return fix_encoding
