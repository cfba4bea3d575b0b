import json

import pytest

from pellucid.cli.output import print_json, print_table, print_text


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
