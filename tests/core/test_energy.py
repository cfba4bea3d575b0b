import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.energy import EnergyMeter, PowermetricsCounter, RaplCounter, find_rapl

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


def test_powermetrics_samples_add_up_to_power_times_time(tmp_path: Path) -> None:
    text = (
        "Machine model: Mac14,2\n\n*** Sampled system activity (Sun Nov 22 10:00:00 2026 +0100) (200.00ms elapsed) ***\n\n"
        "CPU Power: 900 mW\nGPU Power: 100 mW\nCombined Power (CPU + GPU + ANE): 1000 mW\n\n"
        "*** Sampled system activity (Sun Nov 22 10:00:01 2026 +0100) (500.00ms elapsed) ***\n\n"
        "CPU Power: 3900 mW\nCombined Power (CPU + GPU + ANE): 4000 mW\n"
    )
    (tmp_path / "samples").write_text(text)
    counter = PowermetricsCounter(["cat", str(tmp_path / "samples")])
    counter._thread.join()
    counter.close()
    assert counter.joules() == pytest.approx(1.0 * 0.2 + 4.0 * 0.5)
