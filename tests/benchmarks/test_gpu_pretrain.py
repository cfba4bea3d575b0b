"""The script that measures on a GPU, at toy sizes on the CPU: its first run on another machine must succeed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import preset_names, read_preset
from pellucid.recipe.tree import plain
from pellucid.train.measure import StepTimes, Workbench

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_pretrain.py"
SOURCE = Path(__file__).parents[2] / "src"

# What a bare machine has is torch and numpy. The stand-in is found where the script puts it, whatever else is installed.
BARE = f"""
import importlib.machinery, runpy, sys
absent = {{"pydantic", "yaml", "orjson", "rich", "pyarrow", "safetensors", "tiktoken", "transformers", "litgpt"}}
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name in absent:
            path = [folder for folder in sys.path if folder.endswith("bare")]
        return super().find_spec(name, path, target)
sys.meta_path[:] = [finder for finder in sys.meta_path[:2]] + [Finder]
sys.argv[0] = {str(SCRIPT)!r}
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


@pytest.fixture
def call(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*options: str) -> dict[str, Any]:
        out = tmp_path / "gpu.json"
        own = ["--device", "cpu", "--tiny", "--peer", "none", "--models", "stable-lm-2-1.6b", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *own, *options])
        script.main()
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    return run


def times(micro_steps: int) -> StepTimes:
    return StepTimes(micro_steps, ({"data": 0.0, "forward": 1.0, "backward": 2.0, "optimizer": 1.0},) * 5, 2**30)


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_read_as_recipes_read_them(script: ModuleType, name: str) -> None:
    assert script.read_preset(name, tiny=False) == ModelConfig.model_validate(plain(read_preset(name)))


def test_with_torch_and_numpy_alone_it_runs_to_the_end(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-c", BARE, "--device", "cpu", "--tiny", "--attention", "document", "--profile", "--out", str(out)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no peer: litgpt and transformers cannot be imported" in done.stdout
    report = json.loads(out.read_text())
    assert report.keys() == {f"{model}/document/compile-auto" for model in ("stable-lm-2-1.6b", "tinyllama-1.1b")}
    for run in report.values():
        assert [row["micro_seqs"] for row in run["rows"]] == [1, 2, 4]
        assert run["kernels_of_a_step"]
        for row in run["rows"]:
            assert row["outcome"] == "measured"
            assert row["micro_seqs"] * row["micro_steps"] == 8
            assert 0 < row["mfu_6n"] < row["mfu"]
            assert row.keys() >= {"tokens_per_s", "mfu_matmul", "step_s", "phases_s", "memory_bytes", "forecast_bytes", "compiled"}


def test_doubling_ends_when_memory_is_full_and_rows_of_other_settings_stay(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(self: Workbench, micro_seqs: int, micro_steps: int, **_: Any) -> StepTimes:
        if micro_seqs > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return times(micro_steps)

    monkeypatch.setattr(Workbench, "measure", measure)
    run = call()["stable-lm-2-1.6b/causal/compile-auto"]
    assert [row["outcome"] for row in run["rows"]] == ["measured", "measured", "out of memory"]
    assert run["best"]["pellucid"]["tokens_per_s"] == 256 / 4
    assert run["best"]["pellucid"]["mfu_6n"] == pytest.approx(64 * 6 * run["parameters"] / run["peak_flops"], abs=1e-4)
    assert call("--attention", "document").keys() == {f"stable-lm-2-1.6b/{kind}/compile-auto" for kind in ("causal", "document")}


def test_a_failure_is_a_row_and_is_tried_again_uncompiled(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def measure(self: Workbench, micro_seqs: int, micro_steps: int, **_: Any) -> StepTimes:
        seen.append(self._stage.compile)
        if self._stage.compile != "off":
            raise RuntimeError("no compiler")
        return times(micro_steps)

    monkeypatch.setattr(Workbench, "measure", measure)
    report = call()
    assert seen == ["auto", "off", "off", "off"]
    rows = report["stable-lm-2-1.6b/causal/compile-off"]["rows"]
    assert rows[0]["outcome"] == "failed: RuntimeError: no compiler"
    assert [row["outcome"] for row in rows[1:]] == ["measured"] * 3


def test_no_row_is_begun_that_might_end_too_late(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workbench, "measure", lambda self, size, steps, **_: times(steps))
    rows = call("--minutes", "0")["stable-lm-2-1.6b/causal/compile-auto"]["rows"]
    assert [row["outcome"] for row in rows] == ["measured", "not tried: no time left"]


def test_the_peer_starts_at_our_best_size_and_shrinks_until_it_fits(script: ModuleType, call: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Workbench, "measure", lambda self, size, steps, **_: times(steps))
    monkeypatch.setattr(script, "peer_named", lambda _: "transformers")
    monkeypatch.setattr(
        script.Run, "best", lambda self, name: {"micro_seqs": 4, "tokens_per_s": 100.0} if name == "pellucid" else None
    )
    tried: list[int] = []

    def peer_times(run: Any, name: str, micro_seqs: int) -> tuple[StepTimes, dict[str, Any]]:
        tried.append(micro_seqs)
        if micro_seqs > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return times(1), {"compiled": False}

    monkeypatch.setattr(script, "peer_times", peer_times)
    call()
    assert tried == [4, 2, 1]
