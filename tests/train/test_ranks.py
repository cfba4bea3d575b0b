"""Two ranks, one of which is stopped for a while or slow: it is named, and the run ends as it would have."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.core.metrics import read_metrics
from pellucid.model.decoder import Decoder
from pellucid.train import heartbeat
from pellucid.train.device import Device
from pellucid.train.ranks import watch_ranks
from pellucid.train.world import World


def events(out: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(out / "metrics.jsonl") if line.get("event") in ("ranks", "straggler")]


@pytest.mark.slow
def test_a_slow_rank_is_named_within_twenty_steps(tmp_path: Path, ranks: Any) -> None:
    shards = ("none", "full")
    ranks(2, *(ranks.job(tmp_path / shard, 20, slow=[1, 0.1], parallel={"shard": shard}) for shard in shards))
    for shard in shards:
        [event] = [event for event in events(tmp_path / shard) if event["event"] == "straggler"]
        assert event["rank"] == 1 and event["ratio"] > 1.5 and event["step"] <= 20
        assert event["message"].startswith("rank 1 (") and "times as long as the others" in event["message"]


def test_a_stopped_rank_is_named_and_its_return_is_told(tmp_path: Path, ranks: Any) -> None:
    assert heartbeat.SILENCE_S + 2 * heartbeat.INTERVAL_S < 30, "a stopped rank is named within thirty seconds"
    ranks(2, ranks.job(tmp_path, 9, pause_at=[1, 3, 6], silence_s=2, slow=[0, 0.3]))
    said = [event["message"] for event in events(tmp_path) if event["message"].startswith("rank 1 (")]
    assert any("has not been heard of" in message and "the others wait for it" in message for message in said), said
    assert any("is back" in message for message in said), said
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl") if "loss" in line] == list(range(1, 10))


def test_alone_there_is_no_one_to_watch(tiny: Any) -> None:
    with watch_ranks(World(), Decoder(tiny.model), Device(torch.device("cpu"), "fp32")) as watch:
        assert watch is None
