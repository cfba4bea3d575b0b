import pytest
import torch

from pellucid.train.device import Device
from pellucid.train.peak import PeakWatch

CPU = Device(torch.device("cpu"), "fp32")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What products reach, one figure for each time that it is looked."""
    later: list[float] = []
    monkeypatch.setattr(Device, "peak_flops", lambda _: (100.0, "measured"))
    monkeypatch.setattr(Device, "quick_matmul_flops", lambda _: later.pop(0))
    return later


def test_a_step_that_is_faster_raises_the_peak_and_none_lowers_it(measured: list[float]) -> None:
    watch = PeakWatch(CPU, 2, clock=lambda: 0.0)
    assert (watch.flops, watch.source) == (200.0, "measured")
    assert watch.seen(50.0) == 200.0
    assert watch.seen(260.0) == 260.0
    assert watch.seen(50.0) == 260.0


def test_a_processor_is_looked_at_again_every_minute(measured: list[float]) -> None:
    moments = iter([0.0, 59.0, 60.0, 60.0, 100.0])
    watch = PeakWatch(CPU, 1, clock=lambda: next(moments))
    measured += [180.0]
    assert watch.seen(1.0) == 100.0
    assert watch.seen(1.0) == 180.0
    assert watch.seen(1.0) == 180.0, "40 seconds later nothing is measured"


def test_a_gpu_has_its_data_sheet(measured: list[float]) -> None:
    moments = iter([0.0])
    watch = PeakWatch(Device(torch.device("cuda", 0), "bf16"), 1, clock=lambda: next(moments))
    assert watch.seen(1.0) == 100.0


def test_real_products_are_measured_quickly() -> None:
    assert 1e8 < CPU.quick_matmul_flops() < 1e15
