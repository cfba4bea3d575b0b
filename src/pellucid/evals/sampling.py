"""A subset of a benchmark's items: chosen by the seed and each item's own name, so that it does not change with their order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pellucid.core.seeds import derive_seed

__all__ = ["pick"]

T = TypeVar("T")


def pick(items: Sequence[T], limit: int | None, seed: int, *labels: str, key: Callable[[T], str | int]) -> list[T]:
    """Return at most `limit` items in the order that they have; None: all.

    Subsets are nested: of one seed and labels, the 100 of limit 100 are among the 200 of limit 200. `key` is an item's own name;
    items of equal names are taken in their order.
    """
    if limit is None or limit >= len(items):
        return list(items)
    ranked = sorted(range(len(items)), key=lambda at: derive_seed(seed, *labels, key(items[at])))
    return [items[at] for at in sorted(ranked[:limit])]
