"""Numbers with units as people write and read them."""

__all__ = [
    "format_bytes",
    "format_carbon",
    "format_count",
    "format_duration",
    "format_energy",
    "format_few",
    "format_rate",
    "utf8_bytes",
]

_COUNT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_KWH = ((1e6, "GWh"), (1e3, "MWh"), (1.0, "kWh"), (1e-3, "Wh"))
_KG = ((1e3, "t"), (1.0, "kg"), (1e-3, "g"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def format_count(number: float) -> str:
    """Return a count with three significant digits: 1 644 515 328 → '1.64 B'."""
    for scale, suffix in _COUNT:
        # What three digits would round up to a thousand is one of the next unit.
        if abs(number) >= 0.9995 * scale:
            return f"{number / scale:.3g} {suffix}"
    return f"{number:.3g}" if number != int(number) else str(int(number))


def format_bytes(number: float) -> str:
    """Return a size in binary units: 1536 → '1.5 KiB', 1 060 000 000 → '1011 MiB'."""
    for scale, suffix in _BYTES:
        if abs(number) >= scale:
            size = number / scale
            return f"{size:.0f} {suffix}" if abs(size) >= 100 else f"{size:.3g} {suffix}"
    return f"{int(number)} B"


def format_rate(number: float) -> str:
    """Return a figure with three digits, or whole: 0.0123, 17.7, 1234."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def format_few(number: float) -> str:
    """Return a figure with three digits that matter, never with an exponent: 0.0000123, 12.3, 92 000."""
    if number == 0:
        return "0"
    if abs(number) >= 99.95:
        return f"{number:,.0f}".replace(",", "\u202f")
    return f"{number:.{2 - int(f'{number:.2e}'.partition('e')[2])}f}"


def format_energy(kwh: float) -> str:
    """Return an amount of energy with three digits: 0.0034 → '3.40 Wh', 30 000 → '30.0 MWh'."""
    return _scaled(kwh, _KWH, 1e-6, "mWh")


def format_carbon(kg: float) -> str:
    """Return a mass with three digits: 11 550 → '11.6 t', 0.0012 → '1.20 g'."""
    return _scaled(kg, _KG, 1e-6, "mg")


def _scaled(number: float, scales: tuple[tuple[float, str], ...], least: float, least_unit: str) -> str:
    for scale, unit in scales:
        if abs(number) >= scale:
            return f"{format_few(number / scale)} {unit}"
    return f"{format_few(number / least)} {least_unit}" if number else f"0 {scales[-1][1]}"


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
