"""Numbers with units as people write and read them."""

__all__ = ["format_bytes", "format_count", "format_duration", "format_rate", "utf8_bytes"]

_COUNT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def format_count(number: float) -> str:
    """Return a count with three significant digits: 1 644 515 328 → '1.64 B'."""
    for scale, suffix in _COUNT:
        if abs(number) >= scale:
            return f"{number / scale:.3g} {suffix}"
    return f"{number:.3g}" if number != int(number) else str(int(number))


def format_bytes(number: float) -> str:
    """Return a size in binary units: 1536 → '1.5 KiB'."""
    for scale, suffix in _BYTES:
        if abs(number) >= scale:
            return f"{number / scale:.3g} {suffix}"
    return f"{int(number)} B"


def format_rate(number: float) -> str:
    """Return a figure with three digits, or whole: 0.0123, 17.7, 1234."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def format_duration(seconds: float) -> str:
    """Return a duration in the two largest units that matter: 3725 → '1 h 02 min'."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"


def utf8_bytes(text: str) -> int:
    """Return the number of bytes of the text in UTF-8, without encoding it where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())
