import json

import pytest

from pellucid.cli.output import print_json, print_shown, print_table, print_text


def test_json_has_sorted_keys_and_ends_with_a_newline(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": 1, "a": [1.5]})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"a": [1.5], "b": 1}
    assert shown.index('"a"') < shown.index('"b"')
    assert shown.endswith("}\n")


def test_a_table_keeps_brackets_and_aligns_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("[bold]x", 1), ("y", 100)], title="rows", right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rows")
    assert lines[2].rstrip().endswith("  1")
    assert "[bold]x" in lines[2]


def test_text_can_grow_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("a", end="")
    print_text("b")
    assert capsys.readouterr().out == "ab\n"


def test_what_others_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("a\x1b[31mb\u202ec\r\td")
    print_table(("name\x1b[2J",), [("MIT\x1b]0;taken\x07",)], title="of \u202ewhom")
    told = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(told)
    assert "a␛[31mb⟨U+202E⟩c␍\td\n" in told and "MIT␛]0;taken␇" in told and "name␛[2J" in told


def test_pieces_that_are_visible_already_keep_what_joins_them(capsys: pytest.CaptureFixture[str]) -> None:
    for piece in ("👩", "\u200d", "🚀"):
        print_shown(piece, end="")
    assert capsys.readouterr().out == "👩\u200d🚀"
