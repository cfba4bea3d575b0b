from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.watch.frame import KEYS, one_run
from pellucid.watch.run import RunWatch
from pellucid.watch.view import METRICS, View


@pytest.fixture
def rich_run(training: Callable, tmp_path: Path) -> RunWatch:
    """A stage with everything that can be shown: spikes, skips, resumes, samples, scores, many sources with hostile names."""
    written = training(steps=400).train(1, 150)
    written.write({**written.lines[-1], "step": 151, "loss": 40.0})
    written.train(152, 200).resume(160)
    sources = {f"source \x1b[2J{number}": 3.0 + number / 50 for number in range(40)}
    written.train(161, 170).train(171, 190, skipped=True, reason="loss spike").train(
        191, 250, loss_by_source=sources, figures={"accuracy": 0.5}
    )
    written.beside("samples", {"step": 200, "prompt": "The\x1b", "text": "漢字 and \x9b31m more " * 30})
    written.beside("heldout", {"step": 100, "loss": 3.0})
    run = RunWatch(tmp_path / "run")
    run.read_all()
    return run


@pytest.mark.parametrize("width", [1, 20, 40, 61, 80, 120, 151, 250])
@pytest.mark.parametrize("height", [1, 2, 5, 12, 19, 24, 37, 70])
def test_a_frame_fills_the_terminal_exactly_and_gives_it_no_command(rich_run: RunWatch, width: int, height: int) -> None:
    lines = one_run(rich_run, View(), width, height, 0.0)
    assert [line.cell_len for line in lines] == [width] * height
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for line in lines for char in line.plain)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_seen_by_steps_and_tokens_near_and_far(rich_run: RunWatch, metric: str) -> None:
    for view in (View(metric=metric, log=True), View(metric=metric, by_tokens=True), View(metric=metric, window=0.1)):
        text = "\n".join(line.plain for line in one_run(rich_run, view, 100, 30, 0.0))
        assert METRICS[metric] in text
        assert any("⠀" < char <= "⣿" for char in text)


def test_what_a_reader_looks_for_is_there(rich_run: RunWatch) -> None:
    text = "\n".join(line.plain for line in one_run(rich_run, View(), 120, 44, 0.0))
    for part in (
        "step 250 of 400", "62 %", "smoothed", "last step", "lowest", "loss by source", "between", "tokens/s", "MFU", "41.0 %",
        "grad norm", "learning rate", "memory", "a step", "fwd+bwd 90", "1 spike (last 151)", "20 skipped (last 190: loss spike)",
        "held-out loss 3.000 at 100", "accuracy", "continued after step 160", "newest sample, step 200", "▲", "✕", "↺", "◆", KEYS,
    ):  # fmt: skip
        assert part in text, part


def test_a_wide_terminal_has_samples_beside_the_figures(rich_run: RunWatch) -> None:
    text = "\n".join(line.plain for line in one_run(rich_run, View(), 170, 40, 0.0))
    assert "newest samples" in text
    assert "漢字" in text


def test_a_run_that_has_not_begun_says_so(tmp_path: Path) -> None:
    run = RunWatch(tmp_path / "run")
    run.poll()
    text = "\n".join(line.plain for line in one_run(run, View(), 120, 10, 0.0))
    assert "waiting for the run to begin" in text
    (tmp_path / "run").mkdir()
    text = "\n".join(line.plain for line in one_run(RunWatch(tmp_path / "run"), View(), 80, 10, 0.0))
    assert "waiting for a training stage to begin" in text


def test_a_stage_that_was_chosen_is_shown_instead_of_the_one_at_work(training: Callable, tmp_path: Path) -> None:
    training("run/pretrain").train(1, 33)
    training("run/sft").train(1, 44)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    assert "step 33 " in one_run(run, View(stage="pretrain"), 80, 24, 0.0)[1].plain
    assert "step 44 " in one_run(run, View(stage="sft"), 80, 24, 0.0)[1].plain
    assert "step" in one_run(run, View(stage="gone"), 80, 24, 0.0)[1].plain
