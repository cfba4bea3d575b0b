import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "forecasts.py"


@pytest.mark.parametrize("name", ["forecasts", "forecasts_256_bit"])
def test_the_recorded_forecasts_of_memory_are_within_10_percent_of_every_process(script: ModuleType, name: str) -> None:
    recorded = json.loads(SCRIPT.with_name(f"{name}.json").read_text())
    assert [(row["shape"], row["micro_seqs"]) for row in recorded["cases"]] == [
        (case["shape"], case["micro_seqs"]) for case in script.CASES
    ]
    for row in recorded["cases"]:
        assert 0.9 <= row["memory"]["process_ratio"] <= 1.1, script.told(row)


def test_a_case_is_forecast_and_measured_in_a_process(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"layers": 2, "hidden": 64, "heads": 2, "kv_heads": 2, "mlp_hidden": 96, "vocab_tokens": 128, "context_tokens": 32}
    monkeypatch.setitem(script.SHAPES, "tiny", {"preset": "pocket", **tiny})
    row = script.worker({"shape": "tiny", "micro_seqs": 2, "micro_steps": 2, "machine": script.machine_here()}, 1)
    assert row["memory"]["forecast"]["total"] > 0 and row["step"]["measured_s"] > 0
    assert "tiny" in script.told(row) and "2 x 2" in script.told(row)
