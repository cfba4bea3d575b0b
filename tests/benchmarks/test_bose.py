from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pellucid.evals.bose.stability import Moment
from pellucid.evals.results import Record

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bose.py"


def test_noise_goes_from_strong_to_none_and_spares_norms(script: ModuleType) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64))
    own = {name: one.detach().clone() for name, one in model.named_parameters()}
    distances = []
    for strength in script.weakened(model, [0.5, 0.1, 0.0], 1):
        now = dict(model.named_parameters())
        assert torch.equal(now["1.weight"], own["1.weight"]) and torch.equal(now["0.bias"], own["0.bias"])
        expected = float(own["0.weight"].std()) * ((1 - strength) ** 2 + strength**2) ** 0.5
        assert float(now["0.weight"].detach().std()) == pytest.approx(expected, rel=0.05)
        distances.append(float((now["0.weight"] - own["0.weight"]).norm().detach()))
    assert distances[0] / distances[1] == pytest.approx(5) and distances[2] == 0


def test_all_ways_of_a_task_are_compared(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    ways = ("letter", "option", "option_bytes", "blank")

    def moment(number: int) -> Moment:
        scores = {"acc": float(number > 1), "softmax_right": 0.1 * number}
        return Moment(number, [Record(f"t:{way}", str(item), scores) for way in ways for item in range(5)])

    found: dict[str, Any] = script.table([moment(number) for number in range(4)])
    assert [one["plain"] for one in found["acc"]["compared"]] == ["t:letter", "t:option", "t:option_bytes"]
    script.show("ladder", found)
    assert "t:blank against t:letter: +0.00 (+0.00 to +0.00), no difference shown" in capsys.readouterr().out
