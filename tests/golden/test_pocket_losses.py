"""Thirty steps whose losses are known: what changes them changes training, and must be meant.

Write them anew with `python tests/golden/test_pocket_losses.py` and say why in the commit.
"""

import hashlib
import json
import runpy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from pellucid.core.metrics import read_metrics
from pellucid.recipe.training import OptimizerConfig, ScheduleConfig
from pellucid.train.stage import run_stage

GOLDEN = Path(__file__).with_name("pocket_losses.json")
PARTS = runpy.run_path(str(Path(__file__).parents[1] / "train" / "conftest.py"))
STEPS = 30


def losses(kind: str) -> list[float]:
    """Losses of the tiny model of tests/train on the licence's bytes, on one thread."""
    tiny: Any = PARTS["Tiny"]()
    stage = tiny.stage(
        STEPS,
        attention="document",
        precision="fp32",
        z_loss=1e-4,
        optimizer=OptimizerConfig(kind=kind),  # type: ignore[arg-type]
        schedule=ScheduleConfig(kind="hyb", peak_lr=1e-2, min_lr=1e-3, warmup_steps=5, cooldown_steps=8),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder:
            run_stage(stage, tiny.model, tiny.order(attention="document"), 1, Path(folder))
            return [line["loss"] for line in read_metrics(Path(folder) / "metrics.jsonl") if "event" not in line]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the recorded losses are those of a CPU")
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_thirty_steps_have_the_recorded_losses(kind: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert hashlib.sha256(PARTS["TEXT"]).hexdigest() == golden["text_sha256"], "the text changed: record the losses anew"
    assert losses(kind) == pytest.approx(golden["losses"][kind], abs=1e-4), f"recorded with torch {golden['torch']}"


if __name__ == "__main__":
    record = {
        "torch": torch.__version__,
        "text_sha256": hashlib.sha256(PARTS["TEXT"]).hexdigest(),
        "losses": {kind: losses(kind) for kind in ("adamw", "muon")},
    }
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n")
