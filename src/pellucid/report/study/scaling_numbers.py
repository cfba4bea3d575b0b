"""How a ladder's numbers are written: losses with intervals, errors in percent."""

from pellucid.core.scores import MINUS

__all__ = ["interval", "percent", "yes_no"]


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Return a loss with the ends of its interval, where it has one: "1.932 [1.871, 1.995]"."""
    if value is None:
        return "–"
    texts = [f"{one:z.3f}".replace("-", MINUS) for one in (value, low, high) if one is not None]
    return texts[0] if len(texts) < 3 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def percent(value: float | None) -> str | None:
    """Return a share in percent with its sign: "+1.24", "−0.31"."""
    return None if value is None else f"{value:+z.2f}".replace("-", MINUS)


def yes_no(value: bool | None) -> str | None:
    """Return whether, in words."""
    return None if value is None else "yes" if value else "no"
