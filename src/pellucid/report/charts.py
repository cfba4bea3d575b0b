"""Small charts of the data card as SVG by hand: they need no library and are as wide as the page lets them be."""

from collections.abc import Mapping, Sequence
from html import escape

from pellucid.core.units import format_bytes

__all__ = ["histogram", "share_bar", "size_range"]

_WIDTH, _HEIGHT, _BASE = 360, 130, 104
_INK, _FILL = "#5b646b", "#0072B2"


def share_bar(parts: Sequence[tuple[str, int, str]], label: str) -> str:
    """Return a bar parted in proportion: name, amount and colour of each part, from left to right. Names show on hovering."""
    total = sum(amount for _, amount, _ in parts)
    drawn, left = [], 0.0
    for name, amount, colour in parts:
        wide = 1000 * amount / total if total else 0.0
        if amount:
            title = escape(f"{name}: {amount}")
            drawn.append(f'<rect x="{left:.2f}" y="0" width="{wide:.2f}" height="10" fill="{colour}"><title>{title}</title></rect>')
        left += wide
    return (
        f'<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )


def histogram(lengths: Mapping[str, int], label: str) -> str:
    """Return bars of how many documents have a size of so many bits, as `funnel.json` counts them under `lengths`.

    Some document must be counted. The scale of sizes is logarithmic: each bar stands for sizes from a power of two to the next.
    """
    counts = {int(bits): count for bits, count in lengths.items() if count > 0}
    first, last = min(counts), max(counts)
    top = max(counts.values())
    peak = min(bits for bits, count in counts.items() if count == top)
    step = _WIDTH / (last - first + 1)
    every = max(1, round(56 / step))
    drawn = []
    for bits in range(first, last + 1):
        count, x = counts.get(bits, 0), (bits - first) * step
        if count:
            tall = max(1.5, (_BASE - 16) * count / top)
            title = escape(f"{size_range(bits)}: {count}")
            drawn.append(
                f'<rect x="{x + 0.06 * step:.2f}" y="{_BASE - tall:.2f}" width="{0.88 * step:.2f}" height="{tall:.2f}" '
                f'fill="{_FILL}"><title>{title}</title></rect>'
            )
        if bits == peak:
            middle = min(max(x + step / 2, 12), _WIDTH - 12)
            drawn.append(_text(middle, 12, str(count), "middle"))
        if (bits - first) % every == 0:
            drawn.append(f'<line x1="{x:.2f}" x2="{x:.2f}" y1="{_BASE}" y2="{_BASE + 4}" stroke="{_INK}" stroke-width="0.8"/>')
            if x < _WIDTH - 36:
                drawn.append(_text(x, _BASE + 15, format_bytes(1 << (bits - 1) if bits else 0), "start"))
    axis = f'<line x1="0" x2="{_WIDTH}" y1="{_BASE}" y2="{_BASE}" stroke="{_INK}" stroke-width="0.8"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" font-size="11" fill="{_INK}">'
        f"{axis}{''.join(drawn)}</svg>"
    )


def size_range(bits: int) -> str:
    """Return the sizes that are counted under `bits`: 11 → '1 KiB to 2 KiB'."""
    return "0 B" if bits == 0 else f"{format_bytes(1 << (bits - 1))} to {format_bytes(1 << bits)}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{escape(text)}</text>'
