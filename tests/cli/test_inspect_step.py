"""What stands on the terminal for a step made by hand: colours change nothing that is written."""

from typing import Any

import pytest

from pellucid.cli import inspect_step, output
from pellucid.cli.inspect_step import print_step


def part(tokens: int, from_token: int, ends: bool) -> dict[str, Any]:
    return {
        "source": "web",
        "id": "web/1",
        "language": "en",
        "licence": "MIT",
        "origin": "o",
        "tokens": tokens,
        "from_token": from_token,
        "ends": ends,
    }


def piece(document: int, text: str, masked: bool = False, end: bool = False) -> dict[str, Any]:
    return {"document": document, "text": text, "masked": masked, "end": end}


def step(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    sequence = {
        "index": 31,
        "source": "web",
        "epoch": 0,
        "window": 5,
        "masked_targets": 2,
        "padding_tokens": 0,
        "documents": [part(10, 3, True), part(23, 0, False)],
    }
    return {"stage": "pretrain", "step": 4, "batch_seqs": 8, "seq_tokens": 32, "sequences": [sequence | {"pieces": pieces}]}


PIECES = [piece(0, "ends here"), piece(0, "<|endoftext|>", end=True), piece(1, "The", masked=True), piece(1, " next\none \x1b[31m")]


def test_ends_masks_and_cut_documents_have_marks_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_step(step(PIECES), 30, {"web": "color(33)"}, whole=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 4 of 30 in pretrain: 8 sequences of 32 tokens, 1 shown"
    assert lines[1:3] == ["by source:  ■ web 1", "masked targets: 2"]
    assert lines[5:] == [
        "31  ■ web  epoch 0, window 5, 2 of 32 targets masked",
        "┌ 10 tokens  en  MIT  web/1  from its token 4 on",
        "│ …ends here∎",
        "┌ 23 tokens  en  MIT  web/1",
        "│ ⟦The⟧ next",
        "│ one ␛[31m…",
    ]


def test_long_pieces_show_how_they_begin_and_end_unless_they_are_to_be_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a" + "b" * 998 + "c"
    print_step(step([piece(1, long)]), 30, {}, whole=False)
    shown = capsys.readouterr().out
    assert "[… 560 characters …]" in shown
    assert shown.count("b") - shown.count("web") - shown.count("by") == 438
    print_step(step([piece(1, long)]), 30, {}, whole=True)
    shown = capsys.readouterr().out
    assert shown.count("b") - shown.count("web") - shown.count("by") == 998


def test_colours_change_nothing_that_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    print_step(step(PIECES), 30, {"web": "color(33)"}, whole=False)
    plain = capsys.readouterr().out
    terminal = lambda: Console(force_terminal=True, color_system="256", width=160, emoji=False)  # noqa: E731
    monkeypatch.setattr(output, "open_console", terminal)
    monkeypatch.setattr(inspect_step, "open_console", terminal)
    print_step(step(PIECES), 30, {"web": "color(33)"}, whole=False)
    coloured = capsys.readouterr().out
    assert "\x1b[38;5;33m■" in coloured
    assert Text.from_ansi(coloured).plain.rstrip("\n") == plain.rstrip("\n")
