import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pellucid.watch import terminal
from pellucid.watch.run import RunWatch
from pellucid.watch.terminal import frame, read_key, show, show_once
from pellucid.watch.view import View

pyte = pytest.importorskip("pyte")


def console(width: int = 80, height: int = 24) -> Console:
    environment = {"TERM": "xterm-256color"}  # whatever the tests run in
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system="256", _environ=environment)


@pytest.fixture
def watched(training: Callable, tmp_path: Path):
    written = training(steps=500).train(1, 100)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    return written, run


def test_a_frame_is_of_one_run_or_of_several(watched) -> None:
    _, run = watched
    assert "loss by source" in "\n".join(line.plain for line in frame([run], View(), 80, 24))
    assert "2 runs" in frame([run, run], View(), 80, 24)[0].plain


def test_one_frame_is_printed_without_the_keys_and_without_steering_the_screen(watched) -> None:
    _, run = watched
    out = Console(file=io.StringIO(), width=80)
    show_once([run], out, 80, 24)
    lines = out.file.getvalue().splitlines()
    assert len(lines) == 24
    assert "\x1b" not in out.file.getvalue()
    assert "q leave" not in out.file.getvalue()


def test_only_what_changed_is_written_again_and_the_screen_is_right(watched) -> None:
    written, run = watched
    out, screen = console(), pyte.Screen(80, 24)
    stream = pyte.Stream(screen)
    before = terminal._refresh(out, [run], View(), [])
    stream.feed(out.file.getvalue())
    assert [line.rstrip() for line in screen.display] == [line.plain.rstrip() for line in before]
    first = len(out.file.getvalue())
    again = terminal._refresh(out, [run], View(), before)
    assert len(out.file.getvalue()) - first < first / 4
    written.train(101, 130)
    run.poll()
    out.file.truncate(0)
    out.file.seek(0)
    after = terminal._refresh(out, [run], View(), again)
    stream.feed(out.file.getvalue())
    assert [line.rstrip() for line in screen.display] == [line.plain.rstrip() for line in after]
    assert "step 130 of 500" in screen.display[1]


def test_the_view_is_left_by_a_key_and_gives_the_screen_back(watched, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = watched
    keyboard, hand = os.openpty()
    typed = os.fdopen(hand, "r")
    monkeypatch.setattr("sys.stdin", typed)
    out = console()
    waits = []

    def key(descriptor: int, seconds: float) -> str:
        waits.append(seconds)
        return ["m", "", "q"][len(waits) - 1]

    monkeypatch.setattr(terminal, "read_key", key)
    show([run], out, 0.01)
    text = out.file.getvalue()
    assert text.startswith("\x1b[?1049h")
    assert "gradient norm" in text
    assert text.rstrip().endswith("\x1b[?1049l")
    assert "\x1b[?25h" in text
    typed.close()
    os.close(keyboard)


@pytest.mark.parametrize(
    ("typed", "key"),
    [(b"q", "q"), (b"\x1b[C", "right"), (b"\x1bOD", "left"), (b"\x03", "ctrl-c"), (b"\x1b", ""), (b"\x1b[15~", ""), (b"m", "m")],
)  # fmt: skip
def test_keys_are_read(typed: bytes, key: str) -> None:
    inner, outer = os.pipe()
    os.write(outer, typed)
    assert read_key(inner, 1.0) == key
    assert read_key(inner, 0.0) == ""
    os.close(outer)
    assert read_key(inner, 1.0) == "ctrl-c"
    os.close(inner)
