import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.metrics import read_metrics


def lines(out: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


def test_a_stage_goes_on_from_one_to_two_to_four_ranks_and_back_with_the_same_data_and_losses(tmp_path: Path, ranks: Any) -> None:
    ranks(1, ranks.job(tmp_path / "alone", 12))
    elastic = tmp_path / "elastic"
    plan = [(1, "none", 3), (2, "zero1", 5), (4, "full", 8), (2, "none", 10), (1, "none", None)]
    for size, shard, stop in plan:
        signal_at = {} if stop is None else {"signal_at": [size - 1, stop - 1]}
        [outcome] = ranks(size, ranks.job(elastic, 12, parallel={"shard": shard}, **signal_at))
        if stop is not None:
            assert outcome["error"] == "StoppedError"
            assert f"after step {stop} of 12" in outcome["message"]
            assert f"step-{stop:08d}" in outcome["message"]
    assert [line["step"] for line in lines(elastic)] == list(range(1, 13))
    losses, expected = ([line["loss"] for line in lines(out)] for out in (elastic, tmp_path / "alone"))
    assert losses == pytest.approx(expected, abs=1e-5)
    receipts = [json.loads((out / "receipt.json").read_text()) for out in (tmp_path / "alone", elastic)]
    assert receipts[0]["consumed"] == receipts[1]["consumed"]
    a, b = (load_checkpoint(out / "checkpoints/step-00000012")[0]["model"] for out in (tmp_path / "alone", elastic))
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_no_number_on_one_rank_skips_that_step_on_all_and_names_the_batch(tmp_path: Path, ranks: Any) -> None:
    jobs = [
        ranks.job(tmp_path / name, 6, spoil_at=[1, 3], **changes)
        for name, changes in {"zero1": {"parallel": {"shard": "zero1"}}, "exact": {"exact": True}}.items()
    ]
    again = ranks.job(tmp_path / "zero1", 6, parallel={"shard": "full"})
    outcomes = ranks(2, *jobs, again)
    assert [outcome["skipped_steps"] for outcome in outcomes] == [1, 1, 1]
    for name in ("zero1", "exact"):
        skipped = [line for line in lines(tmp_path / name) if line["skipped"]]
        assert [(line["step"], line["sequences"]) for line in skipped] == [(4, [24, 31])]
        state = load_checkpoint(tmp_path / name / "checkpoints/step-00000006")[0]
        moments = [tensor for kept in state["optimizer"].values() for tensor in kept.values()]
        assert all(tensor.isfinite().all() for tensor in [*moments, *state["model"].values()])
        assert {float(kept["step"]) for kept in state["optimizer"].values()} == {5.0}
