"""`pellucid train` under torchrun: shared out, killed, stopped and continued, and what comes of it is one process's result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.core.ledger import read_ledger

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "pocket-smoke.yaml"


OPTIONS = ("--set", "train.0.parallel.shard=zero1", "--set", "train.0.checkpoint.every_steps=4")


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A run whose shards are ready and whose training has not begun."""
    runs = tmp_path / "runs"
    for stage in ("plan", "documents", "tokenizer", "shards", "conversations"):
        assert main([stage, str(RECIPE), "--runs", str(runs), *OPTIONS]) == 0
    return runs / RECIPE.stem


def torchrun(run: Path, restarts: int = 0) -> "subprocess.Popen[str]":
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    command = ["-m", "pellucid", "train", str(RECIPE), "--runs", str(run.parent), *OPTIONS]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [*call, *command], env=environment | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_steps(run: Path, steps: int, process: "subprocess.Popen[str]") -> None:
    metrics = run / "pretrain" / "metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") > steps):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]


def ranks_of(agent: "subprocess.Popen[str]") -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()]


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (run / "pretrain" / "metrics.jsonl").read_text().splitlines()) if "loss" in line]


@pytest.mark.slow
def test_two_processes_train_what_one_trains_through_a_signal_and_a_kill(finished_run: Path, untrained: Path) -> None:
    process = torchrun(untrained)
    wait_for_steps(untrained, 2, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and "give the same command again to continue" in errors
    stopped = len(steps_of(untrained))
    assert 2 <= stopped < 30
    assert (untrained / "pretrain" / "checkpoints" / f"step-{stopped:08d}" / "manifest.json").is_file()

    process = torchrun(untrained, restarts=2)
    wait_for_steps(untrained, stopped + 6, process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    lines = steps_of(untrained)
    assert [line["step"] for line in lines] == list(range(1, 31)), "every step is logged exactly once"
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in steps_of(finished_run)], abs=1e-5)
    assert main(["run", str(RECIPE), "--runs", str(untrained.parent), *OPTIONS]) == 0
    assert steps_of(untrained) == lines, "what several trained is not trained again by one"
    assert main(["verify", str(untrained)]) == 0


@pytest.mark.parametrize("command", ["run", "documents"])
def test_what_is_work_for_one_is_refused_to_several(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([command, str(RECIPE), "--runs", str(tmp_path)]) == 2
    assert "torchrun … -m pellucid train RECIPE" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_of_a_study_is_trained_by_several_processes_and_ends_together_by_a_rule(finished_study: Path, tmp_path: Path) -> None:
    def together(*more: str) -> "subprocess.CompletedProcess[str]":
        call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pellucid", "run"]
        environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        study = str(finished_study.parent / "study.yaml")
        return subprocess.run([*call, study, "--runs", str(tmp_path), *more], env=environment, capture_output=True, text=True)

    for name in ("0.003-12288-s1", "0.003-6144-s1"):
        done = together("--only", name)
        assert done.returncode == 0, done.stderr
        assert main(["verify", str(tmp_path / "study/runs" / name)]) == 0
        ours, theirs = (steps_of(folder / "runs" / name) for folder in (tmp_path / "study", finished_study))
        assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in theirs], abs=1e-4)
    begun = [event for event in read_ledger(tmp_path / "study/runs/0.003-6144-s1/ledger.jsonl") if event["event"] == "begun_with"]
    assert [event["step"] for event in begun] == [4]
    stopped = together("--only", "0.01-6144-s1", "--set", "stop={window_steps: 3, above_loss: 1.0}")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads((tmp_path / "study/outcomes/0.01-6144-s1.json").read_text())["outcome"] == "stopped"
    assert len(steps_of(tmp_path / "study/runs/0.01-6144-s1")) == 3
    refused = together()
    assert "which train one run: give --only RUN" in refused.stderr
