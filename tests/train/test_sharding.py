"""Several processes compute what one computes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.metrics import read_metrics


def figures(out: Path) -> list[tuple[float, float]]:
    return [(line["loss"], line["grad_norm"]) for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


@pytest.mark.parametrize(("steps", "learnt_nats"), [(8, 0), pytest.param(50, 1, marks=pytest.mark.slow)])
def test_one_and_two_ranks_have_the_same_losses(tmp_path: Path, ranks: Any, steps: int, learnt_nats: float) -> None:
    def job(kind: str, name: str, **changes: Any) -> Any:
        return ranks.job(tmp_path / kind / name, steps, optimizer={"kind": kind}, micro_seqs=2, **changes)

    kinds, shards = ("adamw", "muon"), ("none", "zero1", "full")
    ranks(1, *(job(kind, "alone") for kind in kinds))
    ranks(2, *(job(kind, shard, parallel={"shard": shard}) for kind in kinds for shard in shards))
    for kind in kinds:
        alone = figures(tmp_path / kind / "alone")
        assert len(alone) == steps and alone[-1][0] < alone[0][0] - learnt_nats
        for shard in shards:
            assert figures(tmp_path / kind / shard) == [pytest.approx(pair, abs=1e-5) for pair in alone], (kind, shard)
            about = next(read_metrics(tmp_path / kind / shard / "metrics.jsonl"))
            assert (about["ranks"], about["shard"]) == (2, shard)


def test_four_ranks_with_everything_sharded_agree_with_one(tmp_path: Path, ranks: Any) -> None:
    changes = {"attention": "document", "z_loss": 1e-3}
    ranks(1, ranks.job(tmp_path / "alone", 8, **changes))
    ranks(4, ranks.job(tmp_path / "full", 8, parallel={"shard": "full", "cpu_offload": True}, **changes))
    assert figures(tmp_path / "full") == [pytest.approx(pair, abs=1e-5) for pair in figures(tmp_path / "alone")]
    weights = [load_checkpoint(tmp_path / name / "checkpoints/step-00000008")[0]["model"] for name in ("alone", "full")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-5, rtol=1e-4)
