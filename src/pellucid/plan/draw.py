"""Small pictures for a terminal: a curve, and bars of shares."""

from collections.abc import Sequence

__all__ = ["bar", "draw_curve"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def draw_curve(values: Sequence[float], width: int = 60, height: int = 8) -> list[str]:
    """Return `height` lines of text that draw values from 0 to their maximum as filled columns, the first value leftmost."""
    if not values:
        return []
    top = max(*values, 0.0) or 1.0
    columns = min(width, len(values))
    picked = [values[round(column * (len(values) - 1) / max(1, columns - 1))] for column in range(columns)]
    eighths = [max(0, round(value / top * height * 8)) for value in picked]
    return ["".join(_EIGHTHS[min(8, max(0, filled - 8 * row))] for filled in eighths).rstrip() for row in reversed(range(height))]


def bar(share: float, width: int = 20) -> str:
    """Return a bar of at most `width` characters for a share between 0 and 1."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    rest = " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return "█" * (eighths // 8) + rest
