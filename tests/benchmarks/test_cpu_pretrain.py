from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cpu_pretrain.py"


def test_a_power_law_has_its_exponent_for_slope(script: ModuleType) -> None:
    assert script.slope([1, 2, 8], [3, 3 * 2**1.5, 3 * 8**1.5]) == pytest.approx(1.5)


def test_our_faster_variant_is_compared_with_every_peer(script: ModuleType) -> None:
    medians = {"pellucid": 2.0, "pellucid-compiled": 4.0, "transformers": 5.0, "nanochat-compiled": 3.0}
    result = {name: {"cpu_s": {"median": seconds}} for name, seconds in medians.items()}
    found = script.compare(result, "cpu_s")
    assert found["ours"] == "pellucid"
    assert found["over"] == {"transformers": 2.5, "nanochat-compiled": 1.5}
    assert (found["fastest_peer"], found["over_fastest"]) == ("nanochat-compiled", 1.5)
    assert script.compare({"pellucid": result["pellucid"]}, "cpu_s") == {}


def test_points_of_a_series_differ_in_what_grows_and_have_the_tokens_of_a_step(script: ModuleType) -> None:
    for changes in script.SCALING.values():
        shapes = [{**script.SHAPE, **change} for change in changes]
        assert {shape["batch"] * shape["context"] for shape in shapes} == {2048}
        assert all(shape["hidden"] == 64 * shape["heads"] for shape in shapes)
