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


def test_a_core_here_is_taken_for_a_core_of_the_table() -> None:
    found, row = measure_machine(CPU), device_named("cpu-2-core")
    assert found.cores and row.cores
    for case in ("low", "likely", "high"):
        assert getattr(found.power_w, case) / found.cores == pytest.approx(getattr(row.power_w, case) / row.cores)
        assert getattr(found.price_per_hour, case) / found.cores == pytest.approx(getattr(row.price_per_hour, case) / row.cores)


def test_it_is_measured_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = measure_machine(CPU)
    monkeypatch.setattr(Device, "peak_flops", lambda _: pytest.fail("measured again"))
    assert measure_machine(CPU) is first
