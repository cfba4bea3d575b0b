"""Ranks that share each block's matrices compute what one computes, alone and together with every way of sharding."""

from pathlib import Path
from typing import Any

import pytest

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.metrics import read_metrics

MODEL = {"kv_heads": 2}


def figures(out: Path) -> list[tuple[float, float]]:
    return [(line["loss"], line["grad_norm"]) for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


def test_heads_and_channels_cut_over_ranks_give_the_losses_of_one(tmp_path: Path, ranks: Any) -> None:
    ranks(1, *(ranks.job(tmp_path / f"alone-{kind}", 8, model=MODEL, optimizer={"kind": kind}) for kind in ("adamw", "muon")))
    two = {"none": "adamw", "zero1": "muon"}
    ranks(
        2,
        *(
            ranks.job(tmp_path / shard, 8, model=MODEL, optimizer={"kind": kind}, parallel={"shard": shard, "tensor_ways": 2})
            for shard, kind in two.items()
        ),
    )
    ranks(
        4,
        *(
            ranks.job(
                tmp_path / f"four-{kind}", 8, model=MODEL, optimizer={"kind": kind}, parallel={"shard": "full", "tensor_ways": 2}
            )
            for kind in ("adamw", "muon")
        ),
    )
    for name, kind in {**two, "four-adamw": "adamw", "four-muon": "muon"}.items():
        assert figures(tmp_path / name) == [pytest.approx(pair, abs=1e-5) for pair in figures(tmp_path / f"alone-{kind}")], name
        assert next(read_metrics(tmp_path / name / "metrics.jsonl"))["tensor_ways"] == 2
    ours, theirs = (load_checkpoint(tmp_path / name / "checkpoints/step-00000008")[0] for name in ("alone-adamw", "four-adamw"))
    assert {n: t.shape for n, t in ours["model"].items()} == {n: t.shape for n, t in theirs["model"].items()}
    # What four ranks in two groups wrote, one process goes on from.
    [outcome] = ranks(1, ranks.job(tmp_path / "four-adamw", 8, model=MODEL, optimizer={"kind": "adamw"}))
    assert outcome["steps"] == 8
