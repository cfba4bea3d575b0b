"""What TensorBoard itself reads from what was written."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.watch.follow import StageCopy, StepValues
from pellucid.watch.records import flat_values
from pellucid.watch.tensorboard import TensorBoardTarget, read_events

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def single(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read(folder: Path):
    events = accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    return events


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    events = read(folder)
    return {name: {one.step: one.value for one in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_tensorboard_reads_every_value_of_the_metrics(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 1500, figures={"margin": 0.1})
    copy = StageCopy(written.folder, tmp_path / "memory.json", lambda number: TensorBoardTarget(tmp_path / "board"))
    while copy.poll():
        pass
    found = scalars(tmp_path / "board")
    for line in written.lines[1:]:
        for name, value in ({"tokens": line["tokens"]} | flat_values(line)).items():
            assert found[name].pop(line["step"]) == single(value), (line["step"], name)
    assert not any(found.values())


def test_times_are_those_of_training(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 20).age(1000)
    copy = StageCopy(written.folder, tmp_path / "memory.json", lambda number: TensorBoardTarget(tmp_path / "board"))
    copy.poll()
    times = [one.wall_time for one in read(tmp_path / "board").Scalars("loss")]
    assert times[-1] == pytest.approx(written.metrics.stat().st_mtime, abs=0.01)
    assert times[-1] - times[0] == pytest.approx(19 * 0.4)


def test_a_half_written_event_is_cut_off_and_nothing_comes_twice(tmp_path: Path) -> None:
    steps = [StepValues(step, 1000.0 + step, {"loss": 1 / step}) for step in range(1, 60)]
    target = TensorBoardTarget(tmp_path)
    target.write(steps[:40])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    ends = [end for end, _, _ in read_events(path)]
    for cut in (ends[-1] - 1, ends[-1] - 9, ends[-2] + 1, ends[-2] + 11):
        path.write_bytes(whole[:cut])
        again = TensorBoardTarget(tmp_path)
        assert again.last_step == 39
        again.write(steps[39:])
        again.close()
        assert scalars(tmp_path)["loss"] == {one.step: single(1 / one.step) for one in steps}


def test_steps_that_are_taken_back_are_not_shown(tmp_path: Path) -> None:
    target = TensorBoardTarget(tmp_path)
    target.write([StepValues(step, 1000.0 + step, {"loss": 1.0}) for step in range(1, 31)])
    assert target.rewind(20)
    assert target.last_step == 20
    assert TensorBoardTarget(tmp_path).last_step == 20
    target.write([StepValues(step, 2000.0 + step, {"loss": 2.0}) for step in range(21, 41)])
    assert TensorBoardTarget(tmp_path).last_step == 40
    assert scalars(tmp_path)["loss"] == {step: 1.0 if step <= 20 else 2.0 for step in range(1, 41)}


def test_an_empty_or_strange_file_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.0000000001.pellucid"
    for content in (b"", b"nonsense" * 9):
        path.write_bytes(content)
        assert list(read_events(path)) == []
        assert TensorBoardTarget(tmp_path).last_step == 0
        assert path.read_bytes() == b""
