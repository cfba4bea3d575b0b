"""How scores of benchmarks are read and written: shares as percent, lower or higher is better, value ± standard error."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

__all__ = [
    "ITEMS",
    "MINUS",
    "RESULT",
    "RESULT_SCHEMA",
    "Unit",
    "format_difference",
    "format_p",
    "format_value",
    "higher_is_better",
    "item_counts",
    "lower_is_better",
    "unit_of",
]

RESULT, ITEMS = "result.json", "items.jsonl"
"""Files of one suite's result: the tables, and a line for every item."""

RESULT_SCHEMA = 1

Unit = Literal["percent", "number"]
Cell = Mapping[str, Any]
"""A metric as `evals.statistics.bootstrap_ratio` gives it: value, stderr, low, high, items."""

MINUS = "\u2212"

# A metric's name begins with one of these; what follows a comma is the harness' filter. Whole words end with a bound.
_HIGHER_SHARES = (
    r"acc(_|\b)|exact(_match)?\b|em\b|f1\b|pass(@|_at_)|recall\b|precision\b|mc[12]\b|win_rate\b|mass\b|p_right\b|holds\b"
    r"|prefers_right_|final_right_|recovered\b"
)
_HIGHER_NUMBERS = r"rating\b|grade\b|judge\b|turn_\d|bleu|rouge|chrf|mcc\b|margin_nats_"
_LOWER_SHARES = r"carried_on_"
_LOWER_NUMBERS = r"bits_per_|bpb\b|nats(_per|\b)|loss\b|brier|ppl\b|[a-z_]*perplexity\b|[twc]er\b"
_NEUTRAL_SHARES = r"form_decides\b|speaks_of_error|agreement\b"
_HIGHER = re.compile(f"{_HIGHER_SHARES}|{_HIGHER_NUMBERS}")
_LOWER = re.compile(f"{_LOWER_SHARES}|{_LOWER_NUMBERS}")
_SHARES = re.compile(f"{_HIGHER_SHARES}|{_LOWER_SHARES}|{_NEUTRAL_SHARES}")


def higher_is_better(metric: str) -> bool:
    """Tell whether more of a metric is better. Of a metric that is not known neither more nor less is."""
    return not lower_is_better(metric) and _HIGHER.match(metric.lower()) is not None


def lower_is_better(metric: str) -> bool:
    """Tell whether less of a metric is known to be better: surprise and errors."""
    return _LOWER.match(metric.lower()) is not None


def unit_of(metric: str, values: Iterable[float | None]) -> Unit:
    """Return "percent" for known shares of items (a harness task may have them times 100: then not), "number" for all else."""
    shares = all(0 <= value <= 1 for value in values if value is not None)
    return "percent" if shares and _SHARES.match(metric.lower()) is not None else "number"


def item_counts(cells: Sequence[Cell | None]) -> str:
    """Return how many items the values of a row are of: one number, or that of each model where they differ ("200 / 180 / –")."""
    counts = [None if cell is None else int(cell["items"]) for cell in cells]
    known = {count for count in counts if count is not None}
    if len(known) <= 1:
        return str(known.pop()) if known else "–"
    return " / ".join("–" if count is None else str(count) for count in counts)


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
