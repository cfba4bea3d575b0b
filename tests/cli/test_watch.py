"""The command as people give it: in a pipe, on a terminal, with a wrong path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.cli.main import main


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


def test_watching_needs_no_torch(finished_run: Path) -> None:
    code = (
        "import sys\nfrom pellucid.cli.main import main\n"
        f"assert main(['watch', {str(finished_run)!r}, '--once']) == 0\n"
        "assert not {'torch', 'pyarrow', 'transformers', 'starlette', 'pydantic'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
