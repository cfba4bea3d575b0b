"""The one place where the number of processes enters training: which sequences are ours, and how sums become global."""

from dataclasses import dataclass

__all__ = ["World"]


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes. A step's sequences are dealt out in contiguous runs, so their union does not depend on `size`."""

    rank: int = 0
    size: int = 1

    def share(self, first: int, count: int) -> tuple[int, int]:
        """Return this rank's part of `count` sequences from `first` on, as first and count. Parts differ by at most one."""
        begin = count * self.rank // self.size
        end = count * (self.rank + 1) // self.size
        return first + begin, end - begin
