"""The terminal view: frames on the alternate screen, of which only lines that changed are written, and keys."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from pellucid.watch.frame import one_run
from pellucid.watch.overlay import several_runs
from pellucid.watch.run import RunWatch
from pellucid.watch.view import View

__all__ = ["frame", "read_key", "show", "show_once"]

_ARROWS = {b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOC": "right", b"\x1bOD": "left"}
_HURRY_S = 0.05
_LOOK_S = 0.25


def frame(runs: Sequence[RunWatch], view: View, width: int, height: int, now: float | None = None) -> list[Text]:
    """Return what is seen: one run in full, or several over each other."""
    now = time.time() if now is None else now
    if len(runs) == 1:
        return one_run(runs[0], view, width, height, now)
    return several_runs(runs, view, width, height, now)


def show_once(runs: Sequence[RunWatch], console: Console, width: int, height: int) -> None:
    """Print one frame, without the line of keys."""
    for run in runs:
        run.read_all()
    for line in frame(runs, View(), width, height + 1)[:-1]:
        line.rstrip()
        console.print(line, no_wrap=True, crop=False, overflow="ignore")


def show(runs: Sequence[RunWatch], console: Console, every_s: float) -> None:
    """Show the runs until a key or Ctrl-C says that it is enough. The files are looked at every `every_s` seconds.

    A frame is made when there is something new, a key was pressed, the size changed, or ten looks have passed (times grow).
    """
    view, before, idle = View(), list[Text](), 0
    with _screen(console) as next_key:
        size = console.size
        while True:
            changed = sum(run.poll() for run in runs) > 0  # every one is looked at
            is_behind = any(not stage.metrics.is_at_end for run in runs for stage in run.stages.values())
            idle += 1
            if changed or console.size != size or idle >= 10 or not before:
                before = _refresh(console, runs, view, before if console.size == size else [])
                size, idle = console.size, 0
            key = _pause(console, size, next_key, _HURRY_S if is_behind else every_s)
            if key in ("q", "ctrl-c"):
                return
            if key:
                view = view.pressed(key, list(runs[0].stages), runs[0].current)
                before = _refresh(console, runs, view, before)


def _pause(console: Console, size: tuple[int, int], next_key: Callable[[float], str], seconds: float) -> str:
    """Wait for so long, for a key, or until the terminal has another size; return the key."""
    until = time.monotonic() + seconds
    key = ""
    while not key and console.size == size and (left := until - time.monotonic()) > 0:
        key = next_key(min(left, _LOOK_S))
    return key


def _refresh(console: Console, runs: Sequence[RunWatch], view: View, before: list[Text]) -> list[Text]:
    """Write the lines that differ from those before, each at its place, and return the new ones."""
    width, height = console.size
    lines = frame(runs, view, width, height)
    out = [] if before else ["\x1b[2J"]
    for number, line in enumerate(lines):
        if number >= len(before) or before[number] != line:
            with console.capture() as captured:
                console.print(line, end="", no_wrap=True, crop=False, overflow="ignore")
            out.append(f"\x1b[{number + 1};1H{captured.get()}")
    if out:
        console.file.write("".join(out))
        console.file.flush()
    return lines


@contextmanager
def _screen(console: Console) -> Iterator[Callable[[float], str]]:
    """Take the alternate screen and the keyboard, and give them back whatever happens. Yields what waits for a key."""
    console.set_alt_screen(True)
    console.show_cursor(False)
    try:
        with _keyboard() as next_key:
            yield next_key
    finally:
        console.show_cursor(True)
        console.set_alt_screen(False)


@contextmanager
def _keyboard() -> Iterator[Callable[[float], str]]:
    """Read keys one by one, unseen, where standard input is a terminal; else only wait."""
    if not sys.stdin.isatty():
        yield _wait
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield lambda seconds: read_key(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def read_key(descriptor: int, seconds: float) -> str:
    """Return the key that is pressed within so many seconds: a letter, `left`, `right` or `ctrl-c`; nothing when there is none."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return ""
    data = os.read(descriptor, 16)
    if not data or data in (b"\x03", b"\x04"):  # the terminal is gone, or a control character came through
        return "ctrl-c"
    return _ARROWS.get(data, chr(data[0]) if 32 < data[0] < 127 else "")
