from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.watch.overlay import several_runs, stage_of
from pellucid.watch.run import RunWatch
from pellucid.watch.view import View


@pytest.fixture
def runs(training: Callable, tmp_path: Path) -> list[RunWatch]:
    training("first/pretrain", steps=200).train(1, 200)
    training("second/pretrain", steps=200).train(1, 100, loss=5.0)
    training("third/sft").train(1, 10)
    found = [RunWatch(tmp_path / name) for name in ("first", "second", "third", "fourth")]
    for run in found:
        run.read_all()
    return found


@pytest.mark.parametrize("width", [10, 80, 200])
@pytest.mark.parametrize("height", [1, 6, 24, 50])
def test_the_frame_fills_the_terminal_exactly(runs: list[RunWatch], width: int, height: int) -> None:
    lines = several_runs(runs, View(), width, height, 0.0)
    assert [line.cell_len for line in lines] == [width] * height


def test_runs_are_compared_at_the_last_step_that_both_reached(runs: list[RunWatch]) -> None:
    lines = several_runs(runs[:2], View(), 110, 24, 0.0)
    (row,) = [line.plain for line in lines if line.plain.startswith("━━ second")]
    first = 2.0 + 6.0 * 2.718281828 ** (-100 / 200)
    difference = float(row.split()[3])
    assert difference == pytest.approx(5.0 - first, abs=0.1)
    assert "step 100 of 200" in row


def test_a_run_without_the_stage_says_so_and_every_run_has_its_colour(runs: list[RunWatch]) -> None:
    lines = several_runs(runs, View(), 100, 30, 0.0)
    rows = [line for line in lines if line.plain.startswith("━━")]
    assert len(rows) == 4
    assert "no such stage" in rows[2].plain
    assert len({str(row.spans[0].style) for row in rows}) == 4
    assert "by tokens" in several_runs(runs, View(by_tokens=True), 100, 30, 0.0)[0].plain


def test_stages_that_were_named_are_compared_whatever_they_are_called(runs: list[RunWatch], tmp_path: Path) -> None:
    stage = RunWatch(tmp_path / "third/sft")
    stage.read_all()
    assert stage_of(stage, View(), runs[0]) == "sft"
    assert stage_of(runs[1], View(), runs[0]) == "pretrain"
    assert stage_of(runs[2], View(), runs[0]) is None
    assert stage_of(runs[2], View(stage="sft"), runs[0]) == "sft"
