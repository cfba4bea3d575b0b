"""The terminal of a talk: pipes in this process, and a real pseudo-terminal with a child process at its other end."""

import io
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.terminal import Terminal
from pellucid.core.errors import DataError
from pellucid.core.excerpt import visible

CHILD = """
from pellucid.cli.terminal import Terminal
terminal = Terminal(("/retry", "/load"), ("/load",))
"""


@pytest.fixture
def python(screen: Callable[..., AbstractContextManager[Any]]) -> Callable[..., AbstractContextManager[Any]]:
    """Run code with a `terminal` behind a pseudo-terminal."""
    return lambda code, **environment: screen([sys.executable, "-c", CHILD + code], **environment)


def test_a_pipe_is_read_by_lines_until_its_end(typed: Callable[[str], None]) -> None:
    typed("one\\\n\n two ")
    terminal = Terminal()
    assert [terminal.read(), terminal.read(), terminal.read(), terminal.read()] == ["one\\", "", " two ", None]
    assert not terminal.can_edit


def test_bytes_that_are_no_text_are_named_and_cost_no_other_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\r\n\xff\n\xc3\xbc\n"), encoding="utf-8"))
    terminal = Terminal()
    assert terminal.read() == "one"
    with pytest.raises(DataError, match="not UTF-8"):
        terminal.read()
    assert [terminal.read(), terminal.read()] == ["ü", None]


def test_a_pipe_gets_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    for text in ("a\x1b[2J", "b\u200d", "c"):
        terminal.stream(text)
    terminal.end("stopped")
    terminal.remark("x" * 300)
    assert capsys.readouterr().out == "a\x1b[2Jb\u200dc [stopped]\n[" + "x" * 300 + "]\n"


def test_on_a_terminal_a_text_is_shown_as_visible_shows_it_however_it_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.is_shown = True
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices(["a", "\u200d", "\u200c", "👩", "\x1b", "\n", "é", "\u202e", "\r"], k=draw.randint(1, 12)))
        cuts = sorted(draw.choices(range(len(text) + 1), k=3))
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            terminal.stream(text[start:end])
        terminal.end()
        assert capsys.readouterr().out == visible(text) + "\n"


def test_lines_are_edited_completed_gone_back_to_and_carried_on(python: Callable[..., AbstractContextManager[Any]]) -> None:
    pytest.importorskip("readline")
    with python("while (line := terminal.read()) is not None: print('got', repr(line))") as child:
        child.wait("> ")
        child.type("hallo\x1b[D\x1b[D\x1b[D\x1b[De\x1b[3~\r")  # four to the left, a letter in, one out
        child.wait("got 'hello'")
        child.wait("> ")
        child.type("\x1b[A, you\r")
        child.wait("got 'hello, you'")
        child.wait("> ")
        child.type("/re\t\r")
        child.wait("got '/retry '")
        child.wait("> ")
        child.type("one\\\r")
        child.wait("… ")
        child.type("two\r")
        child.wait("got 'one\\ntwo'")
        child.wait("> ")
        child.type("\x04")
        time.sleep(0.1)


def test_names_of_files_are_completed_after_commands_that_take_them(
    python: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    pytest.importorskip("readline")
    with python(f"import os; open({str(tmp_path)!r} + '/talk.json', 'w'); print('got', repr(terminal.read()))") as child:
        child.wait("> ")
        child.type(f"/load {tmp_path}/ta\t\r")
        child.wait(f"got '/load {tmp_path}/talk.json'")


def test_a_line_can_be_offered_to_be_changed(python: Callable[..., AbstractContextManager[Any]]) -> None:
    pytest.importorskip("readline")
    with python("print('got', repr(terminal.read('one\\ntwo'))); print('and', repr(terminal.read()))") as child:
        child.wait("two")
        child.type("!\r")
        child.wait("got 'one\\ntwo!'")
        child.wait("> ")
        child.type("x\r")
        child.wait("and 'x'")


def test_colours_are_left_out_where_nobody_wants_them(python: Callable[..., AbstractContextManager[Any]]) -> None:
    code = "from rich.text import Text; terminal.styled(Text('red', 'color(160)')); terminal.remark('esc \\x1b[2J'); print('end')"
    with python(code) as child:
        shown = child.wait("end")
    assert "\x1b[38;5;160mred" in shown and "[esc ␛[2J]" in shown
    with python(code, NO_COLOR="1") as child:
        shown = child.wait("end")
    assert "38;5;160" not in shown and "red" in shown
    with python(code, TERM="dumb") as child:
        assert "\x1b" not in child.wait("end")
