"""Whether a text is what a value looks like in any of the report's formats. Texts that are worked out from more are none."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pellucid.core.excerpt import one_line, visible
from pellucid.core.units import (
    format_bytes,
    format_carbon,
    format_count,
    format_duration,
    format_energy,
    format_few,
    format_rate,
)
from pellucid.report.sections import decimals, percent, whole

__all__ = ["is_text_of"]

_FORMATS: tuple[Callable[[Any], str], ...] = (
    *(format_bytes, format_carbon, format_count, format_duration, format_energy, format_few, format_rate),
    *(percent, whole, *map(decimals, range(7))),
    lambda hours: format_duration(3600 * hours),
    lambda usd: f"${format_rate(usd)}",
    lambda seconds: f"{format_rate(seconds)} s",
    lambda share: f"{100 * share:.1f}",
    lambda share: f"{100 * share:.1f} %",
    lambda seconds: format_rate(1e3 * seconds),
    lambda one: f"{one:z.2f}",
    lambda one: f"{one:g}",
    lambda one: f"{one:.1e}",
    lambda one: f"{one:.2e}",
)


def is_text_of(text: str, value: Any) -> bool:
    """Tell whether one of the report's formats shows this value as this text."""
    if isinstance(value, bool):
        return text in ("yes", "no") and (text == "yes") is value
    if not isinstance(value, int | float):
        told = str(value)
        return text in (told, visible(told), f"{told[:16]}…", *(one_line(told, len(text) + more) for more in (-1, 0)))
    for show in _FORMATS:
        with suppress(ValueError, OverflowError):  # a number that this format cannot show
            if show(value) == text:
                return True
    return text == str(value)
