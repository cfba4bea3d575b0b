import io
from pathlib import Path

import pytest

from pellucid.cli.main import main


def test_a_prompt_is_continued_and_the_seed_decides_how(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["chat", str(finished_run), "--prompt", "Die Würde", "--new-tokens", "20", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("Die Würde") for text in texts)


def test_lines_are_read_until_an_empty_one(
    finished_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\nHallo\n\nnot read\n"))
    assert main(["chat", str(finished_run), "--new-tokens", "3"]) == 0
    shown = capsys.readouterr().out
    assert "base model" in shown
    assert "Hello" in shown
    assert "Hallo" in shown
    assert "not read" not in shown


def test_a_prompt_longer_than_the_context_keeps_its_end(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(finished_run), "--prompt", "word " * 500, "--new-tokens", "3"]) == 0
    assert "context of 128 tokens is full" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--new-tokens", "0"], ["--temperature", "-1"], ["--top-k", "0"]])
def test_settings_outside_their_range_are_usage_errors(finished_run: Path, wrong: list[str]) -> None:
    assert main(["chat", str(finished_run), "--prompt", "x", *wrong]) == 2
