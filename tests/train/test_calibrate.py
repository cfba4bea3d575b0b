import pytest
import torch

from pellucid.plan.devices import device_named
from pellucid.train.calibrate import measure_machine
from pellucid.train.device import Device

CPU = Device(torch.device("cpu"), "fp32")


def test_this_machine_is_a_row_of_measured_figures_with_their_origin() -> None:
    found = measure_machine(CPU)
    assert 1e8 < found.peak_flops < 1e15 and 1e8 < found.bandwidth_bytes_per_s < 1e13
    assert "this machine" in found.title and found.precision == "fp32"
    for figure in ("peak_flops", "bandwidth_bytes_per_s", "memory_bytes"):
        assert "measured" in found.sources[figure]
    assert found.sources.keys() == device_named("cpu-2-core").sources.keys()


def test_it_is_measured_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = measure_machine(CPU)
    monkeypatch.setattr(Device, "peak_flops", lambda _: pytest.fail("measured again"))
    assert measure_machine(CPU) is first
