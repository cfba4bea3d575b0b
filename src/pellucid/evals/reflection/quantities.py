"""Numbers of worked answers: exact, said in digits or in English words, and read back from what a model wrote."""

import ast
import re
from collections.abc import Mapping
from fractions import Fraction

__all__ = ["evaluate", "final_answer", "in_digits", "in_words", "read_digits", "read_words"]

_SMALL = "zero one two three four five six seven eight nine"
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_ONES = [*_SMALL.split(), *_TEENS.split()]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_SCALES = {"hundred": 100, "thousand": 1000}

_DIGITS = r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+"
_WORD = "|".join([*_VALUES, *_SCALES])
# "one hundred and five", "twenty-three": an "and" only between words of a number.
_WORDS = rf"\b(?:{_WORD})(?:(?:[ -]|\s+and\s+)(?:{_WORD}))*\b"
# "2 thousand", "1.5 million"
_SCALED = rf"(?P<digits>{_DIGITS})(?:[ -](?P<scale>hundred|thousand|million|billion)\b)?"
_NUMBER = re.compile(rf"{_SCALED}|(?P<words>{_WORDS})", re.IGNORECASE)
_BY_SCALE = {**_SCALES, "million": 10**6, "billion": 10**9}
_MARKED = re.compile(r"answer is\b[^\d\n]{0,3}?", re.IGNORECASE)
_MAX_DECIMALS = 4


def evaluate(expression: str, values: Mapping[str, Fraction]) -> Fraction:
    """Return the exact value of sums, differences, products, quotients and parentheses over named values.

    Raises `ValueError` for anything else, and for a division by zero.
    """
    try:
        return _value(ast.parse(expression, mode="eval").body, values)
    except (SyntaxError, ZeroDivisionError, KeyError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no sum that can be worked out: {error}") from error


def _value(node: ast.expr, values: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _value(left, values), _value(right, values)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Div():
                    return a / b
    raise ValueError(f"{ast.unparse(node)!r} is neither a value nor one of + - * /")


def in_digits(value: Fraction) -> str:
    """Return a number as 12 or 0.25; raise `ValueError` where more than four decimals would be needed."""
    scaled = value * 10**_MAX_DECIMALS
    if scaled.denominator != 1:
        raise ValueError(f"{value} has more than {_MAX_DECIMALS} decimals")
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{abs(scaled.numerator):0{_MAX_DECIMALS + 1}d}"
    return f"{'-' if value < 0 else ''}{text[:-_MAX_DECIMALS]}.{text[-_MAX_DECIMALS:].rstrip('0')}"


def in_words(value: Fraction) -> str:
    """Return a whole number from 0 to 999 999 in English words; raise `ValueError` for others."""
    number = value.numerator
    if value.denominator != 1 or not 0 <= number < 1_000_000:
        raise ValueError(f"{value} is not a whole number from 0 to 999999")
    thousands, rest = divmod(number, 1000)
    parts = [f"{_below_thousand(thousands)} thousand"] if thousands else []
    if rest or not parts:
        parts.append(_below_thousand(rest))
    return " ".join(parts)


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    parts = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        parts.append(_TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else ""))
    elif rest or not parts:
        parts.append(_ONES[rest])
    return " ".join(parts)


def read_digits(text: str) -> Fraction:
    """Return the value of 1,200 or .5 or 12."""
    return Fraction(text.replace(",", ""))


def read_words(text: str) -> Fraction:
    """Return the value of a number in words, as `in_words` writes it or with "and"."""
    total = current = 0
    for word in re.split(r"[\s-]+", text.lower()):
        if word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word != "and":
            current += _VALUES[word]
    return Fraction(total + current)


def final_answer(text: str) -> Fraction | None:
    """Return the number that a text ends up with, in digits or in words; None where it has none.

    That is the first number after the last "answer is"; where that does not occur, the last number in digits, as GSM8K's lenient
    scoring takes it; where there are none, the last in words, but not "one" by itself, which is seldom a number ("the last one").
    """
    marks = list(_MARKED.finditer(text))
    if marks and (found := _NUMBER.search(text, marks[-1].end())):
        return _read(found)
    numbers = list(_NUMBER.finditer(text))
    digits = [found for found in numbers if found["digits"]]
    words = [found for found in numbers if found["words"] and found["words"].lower() != "one"]
    found_last = (digits or words)[-1:]
    return _read(found_last[0]) if found_last else None


def _read(found: re.Match[str]) -> Fraction:
    if not found["digits"]:
        return read_words(found["words"])
    return read_digits(found["digits"]) * (_BY_SCALE[found["scale"].lower()] if found["scale"] else 1)
