"""How scores of benchmarks are read and written: shares as percent, lower or higher is better, value ± standard error."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = ["MINUS", "Unit", "format_difference", "format_p", "format_value", "lower_is_better", "unit_of"]

Unit = Literal["percent", "number"]
Cell = Mapping[str, Any]
"""A metric as `evals.statistics.bootstrap_ratio` gives it: value, stderr, low, high, items."""

MINUS = "\u2212"

_LOWER = re.compile(r"(bits_per_|bpb\b|nats(_per|\b)|loss\b|brier|ppl\b)|.*perplexity\b")
_NUMBERS = ("grade", "rating", "judge", "tokens", "words", "turn")


def lower_is_better(metric: str) -> bool:
    """Tell whether less of a metric is better: surprise and errors, by the metric's name."""
    return _LOWER.match(metric.lower()) is not None


def unit_of(metric: str, values: Iterable[float | None]) -> Unit:
    """Return "percent" for what is a share of right answers, "number" for grades, bits, perplexities and anything above 1."""
    known = [value for value in values if value is not None]
    shares = all(0 <= value <= 1 for value in known)
    named = lower_is_better(metric) or any(part in metric.lower() for part in _NUMBERS)
    return "percent" if shares and not named else "number"


def format_value(cell: Cell | None, unit: Unit, *, error: bool = True) -> str:
    """Return a value with its standard error: "43.3 ± 1.4" in percent, "0.912 ± 0.004" else; "–" where there is none."""
    if cell is None or cell.get("value") is None:
        return "–"
    text = _number(cell["value"], unit)
    return f"{text} ± {_number(cell['stderr'], unit)}" if error and cell.get("stderr") is not None else text


def format_difference(cell: Cell | None, unit: Unit) -> str:
    """Return a difference with its 95 % interval, signs shown: "+1.2 [−0.3, +2.7]"."""
    if cell is None or cell.get("value") is None:
        return "–"
    text = _signed(cell["value"], unit)
    if cell.get("low") is None:
        return text
    return f"{text} [{_signed(cell['low'], unit)}, {_signed(cell['high'], unit)}]"


def format_p(p: float | None) -> str:
    """Return a p-value: two significant digits, "< 0.001" below that."""
    if p is None:
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.2g}"


def _number(value: float, unit: Unit) -> str:
    return f"{100 * value:.1f}" if unit == "percent" else f"{value:.3f}"


def _signed(value: float, unit: Unit) -> str:
    text = _number(abs(value), unit)
    zero = not text.strip("0.")
    return text if zero else f"{'+' if value > 0 else MINUS}{text}"
