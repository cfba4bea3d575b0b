import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core import energy
from pellucid.core.joules import JouleMeter, Power


def zone(sys: Path, energy_uj: int = 0) -> Path:
    folder = sys / "class" / "powercap" / "intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def burn(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


@given(watts=st.floats(1, 1000), cores=st.integers(1, 128), seconds=st.floats(1, 1e6), use=st.floats(0, 1), nodes=st.integers(1, 9))
def test_a_processor_takes_watts_times_time_times_use(watts: float, cores: int, seconds: float, use: float, nodes: int) -> None:
    cpu_s = use * seconds * cores
    assert Power(watts, 1, cores, nodes).joules(seconds, cpu_s) == pytest.approx(watts * nodes * seconds * use)


def test_gpus_take_all_of_their_watts_all_of_the_time() -> None:
    assert Power(400, 512).joules(3600, 12.0) == 400 * 512 * 3600


def test_without_a_counter_it_is_estimated_from_cpu_seconds_and_says_so(tmp_path: Path) -> None:
    with JouleMeter(Power(20, 1, 2), sys_folder=tmp_path) as meter:
        burn(0.3)
        found = meter.so_far()
    assert (found["kind"] == "estimated" and found["counters"] == []) or any("gpu" in name for name in found["counters"])
    assert "no RAPL counters" in found["missing"]["RAPL"]
    assert found["cpu_s"] >= 0.25
    if not found["counters"]:
        assert found["joules"] == pytest.approx(10 * found["cpu_s"], abs=0.01)


def test_a_counted_processor_is_measured_and_nodes_beside_it_make_it_an_estimate(tmp_path: Path) -> None:
    folder = zone(tmp_path)
    with JouleMeter(Power(20, 1, 2), sys_folder=tmp_path) as meter:
        if any(name.startswith("gpu") for name in meter._meter.counters):
            pytest.skip("a GPU counts here too")
        (folder / "energy_uj").write_text("42000000\n")
        early = meter.so_far()
        assert early["kind"] == "estimated" and "shorter than 0.5 s" in early["missing"]["counters"]
        time.sleep(0.55)
        found = meter.so_far()
        assert (found["kind"], found["joules"], found["counters"]) == ("measured", 42.0, ["cpu package-0"])
    (folder / "energy_uj").write_text("0\n")
    with JouleMeter(Power(20, 3, 2, nodes=3), sys_folder=tmp_path) as meter:
        (folder / "energy_uj").write_text("42000000\n")
        time.sleep(0.55)
        found = meter.so_far()
    assert (found["kind"], found["joules"]) == ("estimated", 126.0)


def test_a_counted_processor_does_not_stand_for_the_gpus_that_were_planned(tmp_path: Path) -> None:
    folder = zone(tmp_path)
    with JouleMeter(Power(400, 2), sys_folder=tmp_path) as meter:
        if any(name.startswith("gpu") for name in meter._meter.counters):
            pytest.skip("a GPU counts here")
        (folder / "energy_uj").write_text("42000000\n")
        time.sleep(0.55)
        found = meter.so_far()
        seconds = meter.seconds()
    assert found["kind"] == "estimated" and found["counters"] == ["cpu package-0"]
    assert 42 + 800 * 0.55 <= found["joules"] <= 42 + 800 * seconds


class Board:
    """A board that has counted 500 J whenever it is looked at again."""

    shortest_s = 0.0

    def __init__(self, name: str) -> None:
        self.name, self._looks = name, -1

    def joules(self) -> float:
        self._looks += 1
        return 500.0 * min(1, self._looks)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("boards", "kind"), [(1, "estimated"), (2, "estimated"), (4, "measured")])
def test_it_is_measured_where_each_device_has_a_board_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boards: int, kind: str
) -> None:
    """There is no machine with several boards at hand: these stand for what NVML gives (see test_nvml.py)."""
    asked = []

    def some(*, most: int | None) -> tuple[list[Board], str | None]:
        asked.append(most)
        return [Board(f"gpu {number}") for number in range(boards)], None

    monkeypatch.setattr(energy, "open_gpus", some)
    with JouleMeter(Power(400, 4), sys_folder=tmp_path) as meter:
        early = meter.seconds()
        found = meter.so_far()
        late = meter.seconds()
    assert asked == [4] and found["kind"] == kind
    uncounted = found["joules"] - 500 * boards
    assert 400 * (4 - boards) * early - 0.001 <= uncounted <= 400 * (4 - boards) * late + 0.001
    assert found["missing"].get("boards") == (None if boards == 4 else f"{boards} of 4 GPUs are counted")
