"""Things in a row, taken together up to a size."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["grouped"]

T = TypeVar("T")


def grouped(items: Iterable[T], size: Callable[[T], int], most: int, most_items: int) -> Iterator[list[T]]:
    """Yield the items in lists that end with the item that brings them to `most` in size, or to `most_items`."""
    group: list[T] = []
    total = 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= most or len(group) >= most_items:
            yield group
            group, total = [], 0
    if group:
        yield group
