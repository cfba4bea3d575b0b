"""SIGTERM and Ctrl-C ask training to save and leave; a second Ctrl-C leaves at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pellucid.core.signals import signals_handled

__all__ = ["StopRequest", "stop_on_signals"]


class StopRequest:
    """Holds the number of the signal that asked to stop, or None. Call it to read."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __call__(self) -> int | None:
        """Return the signal's number when a stop was asked for."""
        return self.signal_number

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGTERM and SIGINT instead of dying of them (in the main thread only)."""
    request = StopRequest()
    with signals_handled(request._receive, signal.SIGTERM, signal.SIGINT):
        yield request
