import inspect
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.energy import EnergyMeter, PowermetricsCounter, RaplCounter, Spent, find_rapl
from pellucid.core.nvml import GpuCounter

RANGE_UJ = 262_143_328_850


def zone(sys: Path, name: str, is_called: str, energy_uj: int, range_uj: int = RANGE_UJ) -> Path:
    folder = sys / "class" / "powercap" / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{is_called}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def test_packages_and_their_memory_count_and_what_they_hold_or_what_holds_them_does_not(tmp_path: Path) -> None:
    for at, (name, called) in enumerate(
        {
            "intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "package-1",
            "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0",
        }.items()
    ):  # fmt: skip
        zone(tmp_path, name, called, at)
    counters, reason = find_rapl(tmp_path)
    assert [one.name for one in counters] == ["cpu package-0", "cpu package-1", "cpu package-0 dram"] and reason is None


def test_without_packages_the_platform_counts(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys", 5)
    counters, _ = find_rapl(tmp_path)
    assert [one.name for one in counters] == ["cpu psys"]


def test_a_counter_counts_from_its_opening_and_over_the_end_of_its_range(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    counter = RaplCounter(folder, "cpu package-0")
    assert counter.joules() == 0
    (folder / "energy_uj").write_text(str(RANGE_UJ))
    assert counter.joules() == 1
    (folder / "energy_uj").write_text("2500000")
    assert counter.joules() == 3.5
    assert counter.joules() == 3.5


@given(range_uj=st.integers(1000, 10**12), start=st.integers(0), steps=st.lists(st.floats(0, 0.99), max_size=20))
def test_any_steps_shorter_than_the_range_add_up(
    tmp_path_factory: pytest.TempPathFactory, range_uj: int, start: int, steps: list[float]
) -> None:
    at = start % range_uj
    folder = zone(tmp_path_factory.mktemp("sys"), "intel-rapl:0", "package-0", at, range_uj)
    counter, spent = RaplCounter(folder, "cpu"), 0
    for share in steps:
        step = int(share * range_uj)
        spent += step
        at = (at + step) % range_uj
        (folder / "energy_uj").write_text(str(at))
        assert counter.joules() == spent / 1e6


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    with EnergyMeter(tmp_path) as meter:
        assert "no RAPL counters" in meter.missing["RAPL"]
        assert not any(name.startswith("cpu") for name in meter.counters)
        assert not any(name.startswith("cpu") for name in meter.read())


def test_a_damaged_counter_is_named_and_not_counted(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", "package-0", 5) / "energy_uj").write_text("many\n")
    counters, reason = find_rapl(tmp_path)
    assert counters == [] and reason is not None and "cannot be read" in reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_counters_for_root_only_are_named(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", "package-0", 5) / "energy_uj").chmod(0)
    counters, reason = find_rapl(tmp_path)
    assert counters == [] and reason is not None and "root only" in reason


def test_the_meter_reads_what_the_counters_have_counted_and_drops_one_that_goes_away(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    with EnergyMeter(tmp_path) as meter:
        (first / "energy_uj").write_text("3000000")
        found = meter.read()
        assert (found["cpu package-0"], found["cpu package-1"]) == (2, 0)
        (second / "energy_uj").unlink()
        assert "cpu package-1" not in meter.read()
        assert "stopped answering" in meter.missing["cpu package-1"] and "cpu package-0" in meter.counters
    assert not any(thread.name == "energy" for thread in threading.enumerate())


def test_a_turn_is_the_sum_of_all_counters_or_nothing_and_the_reason_is_told(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    with EnergyMeter(tmp_path) as meter:
        if any(name.startswith("gpu") for name in meter.counters):
            pytest.skip("a GPU counts here too")
        before = meter.read()
        (first / "energy_uj").write_text("3000000")
        assert meter.spent(before, meter.read(), 1.0) == Spent(None, "cpu package-1 did not move")
        (second / "energy_uj").write_text("500000")
        after = meter.read()
        assert meter.spent(before, after, 1.0) == Spent(2.5)
        assert meter.spent(before, after, 0.49) == Spent(None, "turns shorter than 0.5 s (cpu package-0)")
        (second / "energy_uj").unlink()
        (first / "energy_uj").write_text("9000000")
        gone = Spent(None, "cpu package-1 stopped answering")
        assert meter.spent(after, meter.read(), 1.0) == gone
        assert meter.spent(meter.read(), meter.read(), 1.0) == gone
        assert meter.counters == ("cpu package-0", "cpu package-1")
    with EnergyMeter(tmp_path / "none") as meter:
        missing = meter.spent(meter.read(), meter.read(), 1.0).missing
        assert meter.counters or missing == "no energy counter of this machine can be read"


def test_each_counter_says_what_is_too_short_for_it() -> None:
    # Ten of its steps: of 1 ms with room to spare, of 100 ms, of 200 ms.
    assert (RaplCounter.shortest_s, GpuCounter.shortest_s, PowermetricsCounter.shortest_s) == (0.5, 1.0, 2.0)


SAMPLES = """Machine model: Mac14,2

*** Sampled system activity (Sun Nov 22 10:00:00 2026 +0100) (200.00ms elapsed) ***

CPU Power: 900 mW
GPU Power: 100 mW
Combined Power (CPU + GPU + ANE): 1000 mW

*** Sampled system activity (Sun Nov 22 10:00:01 2026 +0100) (500.00ms elapsed) ***

CPU Power: 3900 mW
Combined Power (CPU + GPU + ANE): 4000 mW
"""


def until(wanted: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not wanted() and time.monotonic() < ends:
        time.sleep(0.01)
    assert wanted()


def printing(text: str, then: str) -> list[str]:
    return ["sh", "-c", f"printf '%s' \"$0\"; {then}", text]


def test_powermetrics_samples_add_up_to_power_times_time() -> None:
    counter = PowermetricsCounter(printing(SAMPLES, "exec sleep 60"))
    until(lambda: counter.joules() == pytest.approx(1.0 * 0.2 + 4.0 * 0.5))
    counter.close()


def test_powermetrics_that_ends_or_tells_no_power_says_so_and_does_not_stay_constant() -> None:
    ended = PowermetricsCounter(printing(SAMPLES, "echo 'unrecognized sampler: gpu_power' >&2; exit 64"))
    ended._process.wait()
    with pytest.raises(OSError, match="sh ended with status 64: unrecognized sampler: gpu_power"):
        ended.joules()
    ended.close()
    for text in (
        "*** Sampled system activity (now) (200.00ms elapsed) ***\nCPU Power: 900 mW\n",
        "Combined Power (CPU): many mW\n",
    ):
        silent = PowermetricsCounter(printing(text, "exec sleep 60"), silent_s=0.2)
        time.sleep(0.3)
        with pytest.raises(OSError, match=r"printed no line 'Combined Power' in mW for 0\.2 s"):
            silent.joules()
        silent.close()


def test_powermetrics_is_asked_for_every_line_at_once() -> None:
    command = list(inspect.signature(PowermetricsCounter).parameters["command"].default)
    assert command[command.index("-b") + 1] == "1" and command[command.index("-i") + 1] == "200"
