from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.watch.follow import StageCopy, StepValues


class Shelf:
    """A tool in memory: runs by number, which outlast the copy that wrote them."""

    def __init__(self, *, can_go_back: bool) -> None:
        self.can_go_back = can_go_back
        self.runs: dict[int, dict[int, StepValues]] = {}

    def open(self, number: int) -> "Run":
        return Run(self, self.runs.setdefault(number, {}))

    @property
    def newest(self) -> dict[int, StepValues]:
        return self.runs[max(self.runs)]


class Run:
    def __init__(self, shelf: Shelf, steps: dict[int, StepValues]) -> None:
        self._shelf, self._steps = shelf, steps

    @property
    def last_step(self) -> int:
        return max(self._steps, default=0)

    def write(self, steps: Sequence[StepValues]) -> None:
        for step in steps:
            assert step.step == self.last_step + 1, "every step once, in order"
            self._steps[step.step] = step

    def rewind(self, step: int) -> bool:
        if self._shelf.can_go_back:
            for late in [one for one in self._steps if one > step]:
                del self._steps[late]
        return self._shelf.can_go_back

    def close(self) -> None:
        pass


def copy_all(copy: StageCopy) -> None:
    for _ in range(10):
        copy.poll()


@pytest.fixture(params=[True, False], ids=["goes back", "cannot go back"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    return Shelf(can_go_back=request.param)


def losses(run: dict[int, StepValues]) -> list[float]:
    return [step.values["loss"] for step in run.values()]


def test_every_step_is_written_once_while_the_file_grows(shelf: Shelf, training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 30)
    copy = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    copy_all(copy)
    written.train(31, 40).write({**written.lines[-1], "step": 41, "loss": None})
    copy_all(copy)
    assert list(shelf.newest) == list(range(1, 42))
    assert losses({k: v for k, v in shelf.newest.items() if k < 41}) == [line["loss"] for line in written.lines[1:41]]
    assert "loss" not in shelf.newest[41].values
    assert shelf.newest[7].values["tokens"] == 7 * 4096
    assert shelf.newest[9].at - shelf.newest[7].at == pytest.approx(0.8)
    assert copy.written == 41
    assert not copy.is_done
    (written.folder / "manifest.json").write_text("{}")
    assert copy.is_done
    copy.close()


def test_a_copy_that_is_started_again_goes_on_where_it_was(shelf: Shelf, training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 30)
    copy_all(StageCopy(written.folder, tmp_path / "memory.json", shelf.open))
    written.train(31, 50)
    again = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    copy_all(again)
    assert list(shelf.newest) == list(range(1, 51))
    assert again.written == 20
    assert len(shelf.runs) == 1


@pytest.mark.parametrize("is_watching", [True, False], ids=["seen", "not seen"])
def test_steps_that_a_resume_made_again_replace_the_old_ones(
    shelf: Shelf, training: Callable, tmp_path: Path, is_watching: bool
) -> None:
    written = training().train(1, 30)
    copy = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    copy_all(copy)
    written.resume(20)
    if is_watching:
        copy_all(copy)
    else:
        copy = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    written.train(21, 45, loss=1.5)
    copy_all(copy)
    assert list(shelf.newest) == list(range(1, 46))
    assert losses(shelf.newest)[20:] == [1.5] * 25
    assert losses(shelf.newest)[:20] == [line["loss"] for line in written.lines[1:21]]
    assert len(shelf.runs) == (1 if shelf.can_go_back else 2)
    if not shelf.can_go_back:
        assert len(shelf.runs[1]) == 30


def test_going_back_further_than_before_voids_all_that_came_after(shelf: Shelf, training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 30)
    copy = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    copy_all(copy)
    written.resume(20)
    written.train(21, 40, loss=1.5)
    copy_all(copy)
    written.resume(10)
    written.train(11, 40, loss=2.5)
    copy = StageCopy(written.folder, tmp_path / "memory.json", shelf.open)
    copy_all(copy)
    assert losses(shelf.newest)[10:] == [2.5] * 30
    assert list(shelf.newest) == list(range(1, 41))


def test_a_stage_that_was_begun_anew_is_written_anew(shelf: Shelf, training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 30)
    copy_all(StageCopy(written.folder, tmp_path / "memory.json", shelf.open))
    written.folder.rename(written.folder.with_name("pretrain.superseded-1"))
    again = training().train(1, 12, loss=9.0, tokens_per_s=1.0)
    copy_all(StageCopy(again.folder, tmp_path / "memory.json", shelf.open))
    assert losses(shelf.newest) == [9.0] * 12


def test_a_memory_that_is_none_is_an_error(training: Callable, tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("[]")
    with pytest.raises(ArtifactError, match="remove it"):
        StageCopy(training().folder, tmp_path / "memory.json", Shelf(can_go_back=True).open)
