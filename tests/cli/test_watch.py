"""The command as people give it: in a pipe, on a terminal, with a wrong path."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pellucid.cli.main import main


@pytest.fixture(autouse=True)
def given_way(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """By how much the command gave way to others. Not to be done for good: further tests run in this process."""
    steps: list[int] = []
    monkeypatch.setattr(os, "nice", steps.append)
    return steps


def test_whoever_watches_gives_way_to_whoever_trains(finished_run: Path, given_way: list[int]) -> None:
    assert main(["watch", str(finished_run), "--once"]) == 0
    assert len(given_way) == 1 and given_way[0] > 0


def test_a_finished_run_is_shown_once_where_output_is_no_terminal(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(finished_run)]) == 0
    text = capsys.readouterr().out
    assert "pocket-smoke  pretrain ✓ › sft ✓ › dpo ✓ › self_knowledge ✓" in text
    assert "loss by source" in text
    assert "\x1b" not in text


def test_figures_as_json_are_those_of_the_metrics(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(finished_run), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert list(told["stages"]) == ["dpo", "pretrain", "self_knowledge", "sft"]
    last = json.loads((finished_run / "pretrain/metrics.jsonl").read_text().splitlines()[-1])
    pretrain = told["stages"]["pretrain"]
    assert (pretrain["state"], pretrain["step"], pretrain["steps"]) == ("ended", last["step"], 30)
    assert pretrain["loss"] == last["loss"]
    assert pretrain["memory_bytes"] == last["memory_bytes"]


def test_the_number_of_steps_of_stages_that_read_examples_is_known_from_their_metrics(finished_run: Path) -> None:
    start = json.loads((finished_run / "sft/metrics.jsonl").read_text().splitlines()[0])
    last = json.loads((finished_run / "sft/metrics.jsonl").read_text().splitlines()[-1])
    assert start["steps"] == last["step"]


def test_a_wrong_path_and_a_wrong_pace_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "no/run")]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--every-s", "0"]) == 2
    assert "--every-s" in capsys.readouterr().err


def test_on_a_terminal_it_is_left_with_q_or_ctrl_c(finished_run: Path, screen) -> None:
    for key in ("q", "\x03"):
        with screen([sys.executable, "-m", "pellucid", "watch", str(finished_run), "--every-s", "0.2"], LINES="24") as terminal:
            terminal.wait("loss by source")
            terminal.wait("q leave")
            terminal.type(key)
            terminal.wait("\x1b[?1049l")


def test_a_dumb_terminal_gets_one_picture(finished_run: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert main(["watch", str(finished_run)]) == 0
    text = capsys.readouterr().out
    assert "pretrain ✓" in text and "\x1b" not in text


def test_watching_needs_no_torch(finished_run: Path) -> None:
    code = (
        "import sys\nfrom pellucid.cli.main import main\n"
        f"assert main(['watch', {str(finished_run)!r}, '--once']) == 0\n"
        "assert not {'torch', 'pyarrow', 'transformers', 'starlette', 'pydantic'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_a_finished_run_is_handed_to_tensorboard_and_then_the_command_ends(finished_run: Path, tmp_path: Path, capsys) -> None:
    from pellucid.watch.tensorboard import read_events

    assert main(["watch", str(finished_run), "--to", "tensorboard", "--dir", str(tmp_path)]) == 0
    assert "pocket-smoke/pretrain: ended; 30 steps written" in capsys.readouterr().out
    (file,) = (tmp_path / "pocket-smoke/pretrain").iterdir()
    assert [step for _, step, _ in read_events(file)][1:] == list(range(1, 31))
    assert main(["watch", str(finished_run), str(finished_run), "--to", "tensorboard"]) == 2
    assert "one run at a time" in capsys.readouterr().err


def test_the_page_is_served_until_ctrl_c(finished_run: Path) -> None:
    command = [sys.executable, "-m", "pellucid", "watch", str(finished_run), "--web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        address = served.stdout.readline().split(": ")[1].split()[0]
        with urllib.request.urlopen(f"{address}runs") as answer:
            assert json.load(answer)["runs"][0]["name"] == "pocket-smoke"
        served.send_signal(signal.SIGINT)
        assert served.wait(30) == 0


def test_a_port_that_is_none_is_told(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(finished_run), "--web", "--port", "70000"]) == 2
    assert "--port: got 70000" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart_by_their_path(finished_run: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(finished_run / "pretrain", tmp_path / "copy/pocket-smoke/pretrain")
    assert main(["watch", str(finished_run), str(tmp_path / "copy/pocket-smoke"), "--json"]) == 0
    names = [told["run"] for told in json.loads(capsys.readouterr().out)]
    assert len(set(names)) == 2
    assert all(name.endswith("pocket-smoke") for name in names)
