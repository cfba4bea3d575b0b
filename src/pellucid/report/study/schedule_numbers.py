"""How a study's section about schedules writes its numbers: lengths, signs, intervals, learning rates."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.scores import MINUS
from pellucid.report.figures import Spread

__all__ = ["DIFFERENCE", "RELATIVE", "interval", "length_name", "number", "percents", "rate", "signed"]

DIFFERENCE = ("difference", "low", "high")
RELATIVE = ("relative", "relative_low", "relative_high")
"""Keys of a row: a value and the ends of its interval."""


def length_name(length: str | None) -> str:
    """Return a level of the axis of lengths, or what stands for it in a study that has none."""
    return "its only length" if length is None else length


def signed(value: float, decimals: int) -> str:
    """Return a difference with its sign; none where it rounds to nothing."""
    text = f"{abs(value):.{decimals}f}"
    return text if not text.strip("0.") else f"{'+' if value > 0 else MINUS}{text}"


def interval(values: Sequence[float | None], decimals: int = 4, scale: float = 1.0) -> str | None:
    """Return a difference with the ends of its interval: "+0.0043 [−0.0010, +0.0096]"; None where there is none."""
    value, low, high = (None if one is None else scale * one for one in values)
    if value is None:
        return None
    told = signed(value, decimals)
    return told if low is None or high is None else f"{told} [{signed(low, decimals)}, {signed(high, decimals)}]"


def percents(row: Mapping[str, Any] | None) -> Spread | None:
    """Return a row's relative difference with its ends in percent, to be drawn; None where there is none."""
    if row is None or row.get("relative") is None:
        return None
    value, low, high = (None if row[key] is None else 100 * row[key] for key in RELATIVE)
    return None if value is None else (value, low, high)


def number(value: float | None, decimals: int) -> str | None:
    """Return a value with so many decimals; None where there is none."""
    return None if value is None else f"{value:z.{decimals}f}".replace("-", MINUS)


def rate(value: float, digits: int = 3) -> str:
    """Return a learning rate as reports print it: 0.000113 → "1.13e-4"."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
