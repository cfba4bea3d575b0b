"""How sections of a study write numbers: signs, intervals, percents, learning rates, lengths; "–" where there is none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.core.scores import MINUS
from pellucid.report.figures import Spread

__all__ = [
    "DIFFERENCE",
    "RELATIVE",
    "VALUE",
    "difference",
    "ends",
    "interval",
    "length_name",
    "number",
    "percents",
    "rate",
    "signed",
    "yes_no",
]

VALUE = ("value", "low", "high")
DIFFERENCE = ("difference", "low", "high")
RELATIVE = ("relative", "relative_low", "relative_high")
"""Keys of a row: a value and the ends of its interval."""

_NONE = "–"


def number(value: float | None, decimals: int = 3) -> str:
    """Return a value with so many decimals, without a sign where it is shown as nothing."""
    return _NONE if value is None else f"{value:z.{decimals}f}".replace("-", MINUS)


def signed(value: float | None, decimals: int = 4) -> str:
    """Return a difference with its sign; none where it is shown as nothing."""
    if value is None:
        return _NONE
    text = number(value, decimals)
    return text if value <= 0 or not text.strip("0.") else f"+{text}"


def ends(row: Mapping[str, Any], keys: Sequence[str] = VALUE, scale: float = 1.0) -> list[float | None]:
    """Return a row's value and the ends of its interval, times `scale`."""
    return [None if row[key] is None else scale * row[key] for key in keys]


def interval(values: Sequence[float | None], show: Callable[[float], str] = number) -> str:
    """Return a value and the ends of its interval as text.

    "1.35 [1.28, 1.43]"; an end that is not known is "open"; without both ends the value stands alone. No line breaks within a
    number and its unit ("888 k").
    """
    value, low, high = values
    if value is None:
        return _NONE
    texts = ["open" if one is None else show(one).replace(" ", "\u00a0") for one in (value, low, high)]
    return texts[0] if low is None and high is None else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def difference(values: Sequence[float | None], decimals: int = 4) -> str:
    """Return a difference with the ends of its interval, signs shown: "+0.0043 [−0.0010, +0.0096]"."""
    return interval(values, lambda value: signed(value, decimals))


def percents(row: Mapping[str, Any] | None) -> Spread | None:
    """Return a row's relative difference with its ends in percent, to be drawn; None where there is none."""
    if row is None or row.get("relative") is None:
        return None
    value, low, high = ends(row, RELATIVE, 100)
    return None if value is None else (value, low, high)


def rate(value: float, digits: int = 3) -> str:
    """Return a learning rate as reports print it: 0.000113 → "1.13e-4"."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def yes_no(value: bool | None) -> str:
    """Return whether, in words."""
    return _NONE if value is None else "yes" if value else "no"


def length_name(length: str | None) -> str:
    """Return a level of the axis of lengths, or what stands for it in a study that has none."""
    return "its only length" if length is None else length
