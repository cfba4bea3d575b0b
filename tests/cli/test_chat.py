import io
import shutil
from pathlib import Path

import pytest

from pellucid.cli.main import main


@pytest.fixture
def base_run(run_copy: Path) -> Path:
    """A run that stopped before it learnt from conversations."""
    for stage in ("sft", "dpo", "self_knowledge"):
        shutil.rmtree(run_copy / stage)
    return run_copy


def test_a_prompt_is_continued_and_the_seed_decides_how(base_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["chat", str(base_run), "--prompt", "Die Würde", "--new-tokens", "20", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("Die Würde") for text in texts)


def test_lines_are_read_until_an_empty_one(
    base_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\nHallo\n\nnot read\n"))
    assert main(["chat", str(base_run), "--new-tokens", "3"]) == 0
    shown = capsys.readouterr().out
    assert "base model" in shown
    assert "Hello" in shown
    assert "Hallo" in shown
    assert "not read" not in shown


def test_a_prompt_longer_than_the_context_keeps_its_end(base_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(base_run), "--prompt", "word " * 500, "--new-tokens", "3"]) == 0
    assert "context of 128 tokens is full" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--new-tokens", "0"], ["--temperature", "-1"], ["--top-k", "0"]])
def test_settings_outside_their_range_are_usage_errors(finished_run: Path, wrong: list[str]) -> None:
    assert main(["chat", str(finished_run), "--prompt", "x", *wrong]) == 2


def test_a_chat_run_answers_one_prompt_without_repeating_it(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(finished_run), "--prompt", "Who are you?", "--new-tokens", "8", "--system", "Be brief."]) == 0
    shown = capsys.readouterr().out
    assert shown.strip() and "Who are you?" not in shown and "Be brief." not in shown


def test_a_chat_run_converses_until_an_empty_line(
    finished_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n/reset\n\nnot read\n"))
    assert main(["chat", str(finished_run), "--new-tokens", "3"]) == 0
    shown = capsys.readouterr().out
    assert "/retry answers again, /quit ends, and so does an empty line or Ctrl-D." in shown
    assert "[the conversation begins anew]" in shown


def test_a_base_model_has_no_system_prompt(base_run: Path) -> None:
    assert main(["chat", str(base_run), "--prompt", "x", "--system", "Be brief."]) == 2
