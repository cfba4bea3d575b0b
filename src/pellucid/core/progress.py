"""Progress that stays calm: one bar with rate and ETA on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pellucid.core.units import format_count, format_duration

__all__ = ["ProgressBar", "console", "progress", "track"]

T = TypeVar("T")
_LOG_EVERY_S = 15.0

console = Console(stderr=True, highlight=False)


class _Rate(ProgressColumn):
    """Finished work per second in the task's own unit."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{format_count(speed)} {task.fields['unit']}/s" if speed else "", style="dim")


class ProgressBar:
    """One task's progress. `advance` is cheap to call; `note` shows a short changing remark (a loss, a file name)."""

    def __init__(self, description: str, total: float | None, unit: str, bar: Progress | None) -> None:
        self.description, self.total, self.unit = description, total, unit
        self._bar = bar
        self._task: TaskID | None = bar.add_task(description, total=total, unit=unit, note="") if bar else None
        self._done = self._start = 0.0
        self._started = self._logged = time.monotonic()
        self._note = ""

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more units are done."""
        self._done += amount
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
        elif time.monotonic() - self._logged >= _LOG_EVERY_S:
            self._log()

    def parts(self, size: float) -> Callable[[float], None]:
        """Return what is told how many more parts are done, each of them `size` units: requests of an item, turns of a question."""
        return lambda count: self.advance(count * size)

    def resume_at(self, amount: float) -> None:
        """Say that `amount` units were done in an earlier run, so that they do not count into the rate."""
        self._done = self._start = amount
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=amount)
            self._bar.reset(self._task, completed=int(amount), total=self.total)

    def note(self, text: str) -> None:
        """Show a short remark beside the bar."""
        self._note = text
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, note=text)

    def _log(self) -> None:
        self._logged = time.monotonic()
        elapsed = self._logged - self._started
        rate = (self._done - self._start) / elapsed if elapsed else 0.0
        parts = [f"  {self.description}:"]
        if self.total:
            parts.append(f"{100 * self._done / self.total:.0f} %,")
            if rate:
                parts.append(f"{format_duration((self.total - self._done) / rate)} left,")
        parts.append(f"{format_count(rate)} {self.unit}/s")
        console.print(" ".join(parts) + (f", {self._note}" if self._note else ""), soft_wrap=True)


@contextmanager
def progress(description: str, total: float | None = None, unit: str = "items") -> Iterator[ProgressBar]:
    """Show progress of one piece of work while the block runs."""
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield ProgressBar(description, total, unit, None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(compact=True),
        _Rate(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as bar:
        yield ProgressBar(description, total, unit, bar)


def track(items: Iterable[T], description: str, total: float | None = None, unit: str = "items") -> Iterator[T]:
    """Yield the items while showing progress over them."""
    with progress(description, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()
