"""What a record says: a value by its dotted path, and what it says of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["METADATA", "get_path", "own_metadata", "root_of", "whole_number"]

# What a record may say of itself, and under which names.
METADATA = {"id": ("id",), "language": ("language",), "licence": ("licence", "license"), "origin": ("origin", "url")}


def get_path(value: Any, path: str) -> Any:
    """Return what lies at a dotted path of mappings and lists (`answers.text.0`), or None; a key that holds the dots comes first.

    Of a list of mappings, a name gives the list of that name's values (`messages.content`).
    """
    while True:
        if isinstance(value, Mapping) and path in value:
            return value[path]
        head, dot, path = path.partition(".")
        if isinstance(value, Mapping):
            value = value.get(head)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            index = whole_number(head)
            if index is not None:
                value = value[index] if -len(value) <= index < len(value) else None
            else:
                value = [item.get(head) for item in value if isinstance(item, Mapping)] or None
        else:
            return None
        if not dot:
            return value


def whole_number(text: str) -> int | None:
    """Return what a text of decimal digits says, in any script and with or without a minus; None for any other text.

    A number with more digits than Python takes is None, too: no list is that long.
    """
    if not text.removeprefix("-").isdecimal():
        return None
    try:
        return int(text)
    except ValueError:
        return None


def root_of(path: str, names: Sequence[str]) -> str:
    """Return the column that a dotted path begins in: the path itself where there is one of that name."""
    return path if path in names else path.partition(".")[0]


def own_metadata(fields: Mapping[str, Any]) -> dict[str, str | None]:
    """Return by 'id', 'language', 'licence' and 'origin' what the record says, where that is fit to be stored."""
    return {key: _own(fields, names) for key, names in METADATA.items()}


def _own(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first string or whole number under these names."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return str(value).encode(errors="replace").decode()
    return None
