"""A colour for each source, the same in every command and at every step, with its name always beside it."""

from collections.abc import Iterable, Mapping
from zlib import crc32

from rich.cells import cell_len
from rich.text import Text

__all__ = ["MARK", "colours_of", "legend"]

MARK = "■"

# Numbers of the 256-colour table that can be told apart, on black as on white.
_PALETTE = (33, 208, 35, 170, 160, 142, 39, 99, 202, 108, 136, 205, 30, 246)


def colours_of(sources: Iterable[str]) -> dict[str, str]:
    """Return a rich style for each source: the colour of its name, or the next that no source before it in the alphabet has.

    The same sources in any order have the same colours. With more sources than colours, colours come again.
    """
    colours: dict[str, str] = {}
    free: list[int] = []
    for name in sorted(sources):
        free = free or list(range(len(_PALETTE)))
        wish = crc32(name.encode()) % len(_PALETTE)
        slot = min(free, key=lambda index: (index - wish) % len(_PALETTE))
        free.remove(slot)
        colours[name] = f"color({_PALETTE[slot]})"
    return colours


def legend(title: str, counts: Mapping[str, int], colours: Mapping[str, str], width: int) -> Text:
    """Return each source's mark, name and count, the largest first, on lines of at most `width` columns where names allow."""
    text, column = Text(title), cell_len(title)
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        entry = f"{MARK} {name} {count}"
        if column + 2 + cell_len(entry) > width:
            text.append("\n")
            column = 0
        text.append("  ").append(MARK, colours.get(name, "")).append(entry.removeprefix(MARK))
        column += 2 + cell_len(entry)
    return text
