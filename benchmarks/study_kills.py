"""Proof: a study of eight runs makes what they share once, and killed -9 at any moment it repeats nothing that was finished.

The study is small: two rates, two lengths of one trunk, two seeds, on five sources of the pocket corpus. It is run undisturbed;
then again and again in other folders, where it is killed at random moments until it ends: all its processes, or the first one
alone, whose workers must then end by themselves. After each kill, what is whole stays as it is to the byte. At the end: no stage
that ended was begun again, weights and losses of every run are those of the undisturbed study to the bit, the study verifies.
Exit status 1 when any of it does not hold.

    python benchmarks/study_kills.py --studies 5
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pellucid.core.environment import code_version, environment
from pellucid.core.files import read_json, write_json
from pellucid.core.ledger import read_ledger
from pellucid.core.metrics import read_metrics
from pellucid.stages.study_verify import verify_study

ROOT = Path(__file__).parents[1]
BASE = f"""\
extends: {ROOT}/recipes/pocket-smoke.yaml
conversations: []
train:
  pretrain:
    schedule: {{kind: constant, warmup_steps: 5, cooldown_steps: 0, cooldown_frac: 0.2}}
    checkpoint: {{every_steps: 8, keep_last: 1, keep_every_steps: 8}}
    samples: {{every_steps: 0}}
    curves: null
  sft: null
  dpo: null
  self_knowledge: null
evaluate: {{baselines: [], benchmarks: null}}
plan: {{device: cpu-2-core}}
"""
STUDY = """\
kind: study
base: base.yaml
axes:
  peak: {key: train.pretrain.schedule.peak_lr, values: [3e-3, 1e-2]}
  length: {key: train.pretrain.length_tokens, values: [61_440, 30_720]}
seeds: [1, 2]
work: {threads: 1}
"""
# A start takes some two seconds until anything is made; a study that is not killed about a minute.
SHORTEST_S, LONGEST_S = 1.0, 14.0
STAGES = ("documents", "tokenizer", "shards", "pretrain", "evaluate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=5, help="how often the study is made through kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        # Sources are relative to the base: all folders are as deep.
        whole = _folder(Path(folder) / "undisturbed")
        seconds = _finish(whole)
        again = _finish(whole)
        expected = _bits(whole / "study")
        each = [
            _through_kills(_folder(Path(folder) / f"killed-{number}"), moments, expected) for number in range(arguments.studies)
        ]
        result = {
            "command": f"python benchmarks/study_kills.py --studies {arguments.studies} --seed {arguments.seed}",
            "environment": environment(),
            "code": code_version(),
            "undisturbed": {"seconds": round(seconds, 2), "again_s": round(again, 2), "runs": _stage_seconds(whole / "study")},
            "kills": sum(one["kills"] for one in each),
            "studies": each,
            "faults": [fault for one in each for fault in one["faults"]],
        }
    write_json(arguments.out, result)
    print(f"{result['kills']} kills in {len(each)} studies, {len(result['faults'])} faults")
    for run in result["undisturbed"]["runs"]:
        print(f"  {run['name']:<18} data stages {run['data_s']:6.2f} s, the rest {run['rest_s']:6.2f} s")
    for fault in result["faults"]:
        print(fault)
    sys.exit(1 if result["faults"] else 0)


def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE)
    (folder / "study.yaml").write_text(STUDY)
    return folder


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "pellucid", "run", str(folder / "study.yaml"), "--runs", str(folder)]


def _finish(folder: Path) -> float:
    started = time.monotonic()
    subprocess.run(_command(folder), check=True, capture_output=True)
    return time.monotonic() - started


def _through_kills(folder: Path, moments: random.Random, expected: dict[str, Any]) -> dict[str, Any]:
    """Make the study through kills; return how many it took and what does not hold."""
    faults: list[str] = []
    seen: dict[Path, bytes] = {}
    kills = 0
    while True:
        process = subprocess.Popen(_command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(moments.uniform(SHORTEST_S, LONGEST_S))
        except subprocess.TimeoutExpired:
            (os.killpg if kills % 2 else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            if not _has_ended(process.pid):
                faults.append(f"{folder.name}: workers outlived kill {kills}")
                os.killpg(process.pid, signal.SIGKILL)
        else:
            if process.returncode:
                faults.append(f"{folder.name}: ended with status {process.returncode} after {kills} kills")
            break
        changed = [path for path, before in seen.items() if path.read_bytes() != before]
        faults += [f"{folder.name}: {path.relative_to(folder)} was made again" for path in changed]
        seen |= {path: path.read_bytes() for path in _manifests(folder)}
    found = _bits(folder / "study")
    faults += [f"{folder.name}: {name} has other bits" for name in expected if not _same(expected[name], found.get(name))]
    for run in sorted((folder / "study" / "runs").iterdir()):
        ends = Counter(event["stage"] for event in read_ledger(run / "ledger.jsonl") if event["event"] == "end")
        faults += [f"{folder.name}: {run.name} ended {stage} {ends[stage]} times" for stage in STAGES if ends[stage] > 1]
    faults += [f"{folder.name}: {fault}" for fault in verify_study(folder / "study").faults]
    return {"kills": kills, "faults": faults}


def _has_ended(group: int) -> bool:
    """Wait until a group of processes is gone; tell whether it is, within a minute."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def _manifests(folder: Path) -> Iterator[Path]:
    """Yield the manifests of finished stages; the account is made again when there is more to tell."""
    for path in folder.glob("study/runs/*/*/manifest.json"):
        if path.parent.name in (*STAGES, "scores", "plan"):
            yield path


def _bits(study: Path) -> dict[str, Any]:
    """Return of each run all weights at its end, and the loss of every step."""
    found = {}
    for run in sorted((study / "runs").iterdir()):
        last = max((run / "pretrain" / "checkpoints").glob("step-*"))
        losses = [line["loss"] for line in read_metrics(run / "pretrain" / "metrics.jsonl") if "loss" in line]
        found[run.name] = (load_file(last / "model.safetensors"), losses)
    return found


def _same(a: Any, b: Any) -> bool:
    if b is None or a[1] != b[1] or a[0].keys() != b[0].keys():
        return False
    return all(torch.equal(tensor, b[0][name]) for name, tensor in a[0].items())


def _stage_seconds(study: Path) -> list[dict[str, Any]]:
    rows = []
    for run in read_json(study / "results" / "study.json")["runs"]:
        data = run["data_s"]
        rows.append({"name": run["name"], "data_s": round(data, 3), "rest_s": round(run["seconds"] - data, 3), "begins_with": run["begins_with"], "own_tokens": run["tokens"]})  # fmt: skip  # noqa: E501
    return rows


if __name__ == "__main__":
    main()
