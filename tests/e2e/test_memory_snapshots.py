"""Processes that are killed -9 under torchrun: what is in memory is not trained again, and the weights do not tell.

One host, four ranks, which torchrun starts three times. The first time the exact run loses a rank. The second time the sharded run
loses a rank together with that rank's RAM (as if its host were gone) while another part is damaged; its twin is the same run at
that moment with all of its RAM gone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.metrics import read_metrics

RANKS = Path(__file__).parents[1] / "train" / "ranks.py"
STEPS = 10
PAIRS = (("exact", "exact"), ("full", "full"), ("twin", "full"))


def job(out: Path, *, kill: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    sizes = {"length_tokens": STEPS * 256, "batch_tokens": 256, "checkpoint": {"every_steps": 4, "memory_every_steps": 3}}
    return {"out": str(out), "steps": STEPS, "changes": {**sizes, **changes}, **({"kill": kill} if kill else {})}


def torchrun(ram: Path, *jobs: dict[str, Any]) -> None:
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "--max-restarts=2"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [*call, str(RANKS), json.dumps(jobs)],
        env=environment | {"OMP_NUM_THREADS": "1", "PELLUCID_MEMORY_DIR": str(ram)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "holder-00000/part-00000/slot-1.safetensors is damaged and passed over" in done.stderr


def events(out: Path) -> list[tuple[int, int | str | None]]:
    lines = [line for line in read_metrics(out / "metrics.jsonl") if line.get("event") in ("start", "resume")]
    return [(line["step"], line.get("memory_step", line.get("checkpoint"))) for line in lines]


@pytest.mark.slow
def test_killed_ranks_go_on_from_memory_and_end_with_the_bits_of_an_undisturbed_run(tmp_path: Path) -> None:
    ram = tmp_path / "ram"
    ram.mkdir()
    exact, full = {"exact": True}, {"parallel": {"shard": "full"}}
    lost_rank = {"at": [1, 5], "kept": 3, "manifests": 1}
    lost_host = {"at": [2, 7], "kept": 6, "manifests": 8, "lose": "holder-00002", "spoil": "holder-00000/part-00000"}
    torchrun(
        ram,
        job(tmp_path / "exact", kill=lost_rank, **exact),
        job(tmp_path / "full", kill={**lost_host, "saved": 4, "twin": "twin"}, **full),
        job(tmp_path / "twin", **full),
        job(tmp_path / "exact-alone", **exact),
        job(tmp_path / "full-alone", **full),
    )
    assert events(tmp_path / "exact") == [(0, None), (3, 3)]
    assert events(tmp_path / "full") == [(0, None), (6, 6)]
    assert events(tmp_path / "twin") == [(0, None), (4, "step-00000004")]
    for disturbed, alone in ((tmp_path / name, tmp_path / f"{mode}-alone") for name, mode in PAIRS):
        assert events(alone) == [(0, None)]
        lines, expected = ([line for line in read_metrics(out / "metrics.jsonl") if "loss" in line] for out in (disturbed, alone))
        assert [line["step"] for line in lines] == list(range(1, STEPS + 1)), "every step is logged exactly once"
        assert [line["loss"] for line in lines] == [line["loss"] for line in expected]
        a, b = (load_checkpoint(out / "checkpoints" / f"step-{STEPS:08d}")[0] for out in (disturbed, alone))
        assert a["progress"] == b["progress"] and a["model"].keys() == b["model"].keys()
        assert all(torch.equal(a["model"][key], tensor) for key, tensor in b["model"].items())
        for key, kept in b["optimizer"].items():
            assert all(torch.equal(a["optimizer"][key][what], tensor) for what, tensor in kept.items())
    assert list(ram.iterdir()) == [], "memory is given back when a stage ends well"
