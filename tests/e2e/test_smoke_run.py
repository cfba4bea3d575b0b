"""The whole flow on a small recipe: what a new user's first command does, and what the second, third and broken ones do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.artifacts import fingerprint
from pellucid.core.attempts import read_attempts
from pellucid.core.ledger import read_ledger

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "pocket-smoke.yaml"
FINAL = "pretrain/checkpoints/step-00000030"


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pellucid", *arguments], capture_output=True, text=True)


def test_every_stage_leaves_its_artifact_and_the_run_verifies(finished_run: Path) -> None:
    for name in ("plan", "documents", "tokenizer", "shards", "pretrain", "scores", "exports", "report"):
        assert (finished_run / name / "manifest.json").is_file(), name
    assert (finished_run / "report" / "index.html").stat().st_size > 10_000
    assert (finished_run / "exports" / "gguf" / "model-F16.gguf").is_file()
    assert main(["verify", str(finished_run)]) == 0


def test_a_second_call_changes_nothing_and_says_so(run_copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_copy.rglob("*") if path.is_file() and path.parent != run_copy}
    done = call("run", str(RECIPE), "--runs", str(run_copy.parent))
    assert done.returncode == 0, done.stderr
    assert "Nothing changed" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in run_copy.rglob("*") if path.is_file() and path.parent != run_copy}


def test_a_changed_value_reruns_what_depends_on_it_and_nothing_else(run_copy: Path) -> None:
    shards = fingerprint(run_copy / "shards")
    weights = fingerprint(run_copy / FINAL)
    before = len(list(read_ledger(run_copy / "ledger.jsonl")))
    assert main(["run", str(RECIPE), "--runs", str(run_copy.parent), "--set", "evaluate.stride_tokens=32"]) == 0
    events = [(event["event"], event["stage"]) for event in read_ledger(run_copy / "ledger.jsonl")]
    again = {stage for event, stage in events[before:] if event == "start"}
    assert again == {"plan", "evaluate", "account", "report"}
    assert fingerprint(run_copy / "shards") == shards
    assert fingerprint(run_copy / FINAL) == weights


@pytest.mark.parametrize("damage", ["truncate", "alter"])
def test_a_damaged_shard_is_noticed_and_made_again(run_copy: Path, damage: str) -> None:
    shard = next((run_copy / "shards").glob("*/train/00000.bin"))
    good = shard.read_bytes()
    shard.write_bytes(good[:-2] if damage == "truncate" else good[:100] + bytes([good[100] ^ 1]) + good[101:])
    assert main(["verify", str(run_copy)]) == 1
    assert main(["shards", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    assert shard.read_bytes() == good
    # The report tells when the shards were made, and that is another time now.
    assert main(["verify", str(run_copy)]) == 1
    assert main(["report", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    assert main(["verify", str(run_copy)]) == 0


@pytest.mark.parametrize("moments", [(1, 20), pytest.param((1, 5, 12, 20), marks=pytest.mark.slow)])
def test_a_killed_run_continues_to_the_same_bits(finished_run: Path, tmp_path: Path, moments: tuple[int, ...]) -> None:
    """kill -9 after so many lines, then the same command: weights, shards and scores are those of the undisturbed run."""
    runs = tmp_path / "runs"
    arguments = [
        sys.executable,
        "-m",
        "pellucid",
        "run",
        str(RECIPE),
        "--runs",
        str(runs),
        "--set",
        "train.0.checkpoint.every_steps=7",
        "--set",
        "export.formats=[gguf]",
        "--set",
        "export.gguf_types=[F16]",
        "--set",
        "evaluate.benchmarks=null",
    ]
    metrics = runs / "pocket-smoke" / "pretrain" / "metrics.jsonl"
    killed = 0
    for lines in moments:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= lines):
            time.sleep(0.02)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 1, "the run was too quick to be killed in its training"
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    mine = runs / "pocket-smoke"
    assert (mine / FINAL / "model.safetensors").read_bytes() == (finished_run / FINAL / "model.safetensors").read_bytes()
    assert fingerprint(mine / "shards") == fingerprint(finished_run / "shards")
    assert (mine / "scores" / "heldout.documents.jsonl").read_bytes() == (
        finished_run / "scores" / "heldout.documents.jsonl"
    ).read_bytes()
    attempts = [one for one in read_attempts(mine) if one.stage == "pretrain"]
    assert [one.outcome for one in attempts] == [*["killed"] * killed, "end"]
    assert [one.continues for one in attempts] == [False, *[True] * killed]
    account = json.loads((mine / "account" / "account.json").read_text())
    assert account["by_stage"]["pretrain"]["attempts"] == account["counts"]["kills"] + 1 == killed + 1
    assert account["by_stage"]["pretrain"]["hours"] * 3600 == pytest.approx(sum(one.seconds for one in attempts))
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines() if '"event"' not in line]
    assert steps == list(range(1, 31)), "every step is logged exactly once"


def test_two_processes_cannot_work_in_one_run(run_copy: Path) -> None:
    from pellucid.core.lock import run_lock

    with run_lock(run_copy):
        done = call("run", str(RECIPE), "--runs", str(run_copy.parent))
    assert done.returncode == 1
    assert f"in use by process {os.getpid()}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_training_saves_and_leaves_with_its_status(run_copy: Path, number: signal.Signals) -> None:
    shutil.rmtree(run_copy / "pretrain")
    arguments = ["run", str(RECIPE), "--runs", str(run_copy.parent), "--set", "train.0.length_tokens=3e6"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pellucid", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    metrics = run_copy / "pretrain" / "metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= 4):
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert list((run_copy / "pretrain" / "checkpoints").glob("step-*/manifest.json"))
    assert "give the same command again" in errors
