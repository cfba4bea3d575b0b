from types import SimpleNamespace

import pytest
import torch

from pellucid.core.processes import available_cores
from pellucid.plan.devices import Range, device_named
from pellucid.plan.gpus import unlisted_gpu
from pellucid.plan.notes import unlisted_notes
from pellucid.plan.roofline import Layout, step_parts
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.calibrate import measure_machine, share_of_peak
from pellucid.train.device import Device
from pellucid.train.measure import StepTimes, Workbench

CPU = Device(torch.device("cpu"), "fp32")


def test_this_machine_is_a_row_of_measured_figures_with_their_origin() -> None:
    found = measure_machine(CPU)
    assert 1e8 < found.peak_flops < 1e15 and 1e8 < found.bandwidth_bytes_per_s < 1e13
    assert "this machine" in found.title and found.precision == "fp32"
    for figure in ("peak_flops", "bandwidth_bytes_per_s", "memory_bytes"):
        assert "measured" in found.sources[figure]
    assert found.sources.keys() == device_named("cpu-2-core").sources.keys()
    assert 0 < found.compute_frac.likely <= 1 and "measured" in found.sources["compute_frac"]


@pytest.mark.parametrize("reached", [0.2, 0.57, 0.9])
def test_the_share_of_the_peak_makes_the_roofline_say_what_the_steps_took(monkeypatch: pytest.MonkeyPatch, reached: float) -> None:
    row = device_named("cpu-2-core")
    machine = row.model_copy(update={"compute_frac": Range(low=0.1, likely=reached, high=1.0)})
    steps = []

    def measure(bench: Workbench, *_: object, **__: object) -> StepTimes:
        steps.append(step_parts(bench.config, bench.stage, machine, Layout(1, bf16=False))["likely"].total_s)
        return StepTimes(
            1, ({"forward": 2 * steps[0], "backward": 0.0}, {"forward": steps[0] / 4, "backward": 3 * steps[0] / 4}), 0
        )

    def begin(bench: Workbench, stage: TrainStageConfig, config: ModelConfig, device: Device) -> None:
        bench.__dict__.update(stage=stage, config=config)

    monkeypatch.setattr(Workbench, "__init__", begin)
    monkeypatch.setattr(Workbench, "measure", measure)
    found, _ = share_of_peak(CPU, row, row.peak_flops, row.bandwidth_bytes_per_s)
    assert found["likely"] == pytest.approx(reached) and steps
    assert found["low"] == pytest.approx(reached * 0.55 / 0.88)
    assert found["high"] == pytest.approx(min(1.0, reached * 0.88 / 0.55))


@pytest.mark.parametrize("seconds", [1e-9, 1e-3])
def test_steps_faster_than_the_peak_reach_all_of_it(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    row = device_named("cpu-2-core")
    monkeypatch.setattr(Workbench, "measure", lambda *_, **__: StepTimes(1, ({"forward": seconds},), 0))
    assert share_of_peak(CPU, row, row.peak_flops, row.bandwidth_bytes_per_s)[0]["likely"] == 1.0


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


def test_power_and_price_are_those_of_the_cores_that_were_measured() -> None:
    before, row = torch.get_num_threads(), device_named("cpu-2-core")
    try:
        torch.set_num_threads(1)
        one = measure_machine.__wrapped__(CPU)
        torch.set_num_threads(available_cores() + 1)
        most = measure_machine.__wrapped__(CPU)
    finally:
        torch.set_num_threads(before)
    assert (one.cores, most.cores) == (1, available_cores())
    assert f"1 of {available_cores()} cores (this machine)" in one.title
    # The ledger takes watts · CPU seconds / cores, so what a core draws must not depend on how many there are.
    assert one.power_w.likely == pytest.approx(row.power_w.likely / (row.cores or 0))
    assert one.price_per_hour.likely == pytest.approx(most.price_per_hour.likely / available_cores())


@pytest.mark.parametrize(("name", "row"), [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA L40", None), ("NVIDIA H100 PCIe", None)])
def test_a_gpu_without_a_row_is_planned_with_wide_bounds_and_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str, row: str | None
) -> None:
    # What a GPU tells of itself; what it would be measured to reach is given.
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=48 * 2**30))
    monkeypatch.setattr(Device, "_measure_matmul", lambda *_: 150e12)
    monkeypatch.setattr("pellucid.train.calibrate._bandwidth", lambda _: (8e11, "measured: by the test"))
    found = measure_machine.__wrapped__(Device(torch.device("cuda", 0), "bf16"))
    assert (found.memory_bytes, found.devices_per_node, found.bandwidth_bytes_per_s) == (48 * 2**30, 4, 8e11)
    if row is not None:
        assert found.power_w == device_named(row).power_w and found.title == f"{name} (this machine)"
        assert list(unlisted_notes(found)) == []
        return
    assert found.power_w == unlisted_gpu(name).power_w and found.title.endswith("(this machine; the table has no row for it)")
    assert found.peak_flops == (756e12 if "PCIe" in name else 150e12)
    (note,) = unlisted_notes(found)
    assert name in note and "Set plan.device" in note
