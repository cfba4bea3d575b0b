"""Who may come in: as many sequences as there are slots and places to wait; nobody new once the server stops."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pellucid.serve.errors import ApiError, invalid

__all__ = ["Admission", "check_sequences"]

_FIRST_GUESS_S = 2.0
_LONGEST_WAIT_S = 60


class Admission:
    """Counts the sequences inside. Used from the event loop only."""

    def __init__(self, slots: int, max_waiting: int, max_sequences: int) -> None:
        self._slots, self._places, self._most = slots, slots + max_waiting, max_sequences
        self._inside = 0
        self._mean_s = _FIRST_GUESS_S
        self.draining = False

    @property
    def inside(self) -> int:
        """Sequences that run or wait."""
        return self._inside

    @property
    def most(self) -> int:
        """The most sequences that one request may have."""
        return min(self._most, self._places)

    @contextmanager
    def admit(self, sequences: int) -> Iterator[None]:
        """Hold places for the sequences of one request.

        Raises `ApiError`: 400 for more than one request may have, 429 when the places are taken, with the time after which one is
        expected to be free, 503 once the server stops.
        """
        if self.draining:
            raise ApiError(503, "the server stops and takes nothing new", code="stopping", headers={"Retry-After": "30"})
        check_sequences(sequences, self.most)
        if self._inside + sequences > self._places:
            wait_s = round(min(_LONGEST_WAIT_S, max(1.0, self._mean_s * self._inside / self._slots)))
            raise ApiError(
                429,
                f"{self._inside} sequences run or wait, and {self._places} may; try again in about {wait_s} s",
                code="queue_full",
                headers={"Retry-After": str(wait_s)},
            )
        self._inside += sequences
        began = time.monotonic()
        try:
            yield
        finally:
            self._inside -= sequences
            self._mean_s += 0.1 * (time.monotonic() - began - self._mean_s)


def check_sequences(sequences: int, most: int) -> None:
    """Raise `ApiError` for more than one request may have. To be asked before anything is made for each of them."""
    if sequences > most:
        raise invalid("prompt", f"{sequences} sequences in one request (prompts times n); at most {most} are taken")
