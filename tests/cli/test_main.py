import os
from pathlib import Path

import pytest

from pellucid.cli.main import THREADS_WAIT, main


def test_help_names_every_command_and_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("run", "plan", "launch", "explain", "inspect", "chat", "verify", "show", "doctor"):
        assert f"\n    {command}" in text
    assert "exit status" in text


@pytest.mark.parametrize("arguments", [[], ["rnu"], ["run"], ["inspect", "somewhere"], ["run", "r.yaml", "--sets", "a=1"]])
def test_a_wrong_call_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_an_error_is_one_calm_message_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.yaml")]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("RecipeError: ")
    assert "Traceback" not in shown


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("pellucid.cli.doctor.command", interrupted)
    assert main(["doctor"]) == 130
    assert "same command again" in capsys.readouterr().err


@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_wait_briefly_unless_the_user_said_how(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS_WAIT:
        monkeypatch.setenv(name, "")  # so that what main() sets is taken back after the test
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    main(["explain", str(tmp_path / "none.yaml")])
    assert {name: os.environ[name] for name in THREADS_WAIT if name in os.environ} == (given or THREADS_WAIT)
