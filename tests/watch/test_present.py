import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.watch.present import last_scores, present, sample_lines
from pellucid.watch.run import RunWatch


def now(run: Path):
    watched = RunWatch(run)
    watched.read_all()
    return watched.stages["pretrain"], present(watched.stages["pretrain"], watched.state("pretrain"))


def test_what_is_so_now_is_what_the_newest_lines_say(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 300)
    _, shown = now(tmp_path / "run")
    lines = written.lines[1:]
    assert shown.loss == lines[-1]["loss"]
    assert shown.grad_norm == lines[-1]["grad_norm"]
    assert shown.tokens == 4096 * 300
    assert shown.tokens_per_s == statistics.median(line["tokens_per_s"] for line in lines[-50:])
    assert shown.seconds["forward_backward"] == pytest.approx(0.36)
    assert sum(shown.seconds.values()) == pytest.approx(0.4)
    assert min(line["loss"] for line in lines[-20:]) < shown.smoothed_loss < lines[-20]["loss"] + 0.1
    assert [one.name for one in shown.sources] == ["books", "web", "code"]
    assert shown.sources[0].change < 0
    assert shown.sources[0].loss == pytest.approx(statistics.fmean(line["loss_by_source"]["books"] for line in lines[-30:]))


def test_a_stage_without_a_step_has_no_figures(training: Callable, tmp_path: Path) -> None:
    training()
    _, shown = now(tmp_path / "run")
    assert math.isnan(shown.loss)
    assert shown.sources == ()
    assert json.loads(json.dumps(shown.as_json()))["loss"] is None


def test_events_and_scores_are_told_in_words(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 60)
    written.resume(50)
    written.train(51, 55).write(
        {"step": 56, "event": "straggler", "rank": 1, "ratio": 2.0, "message": "rank 1 \x1b[31m takes 2.0 times as long"}
    )
    written.train(56, 60, figures={"margin": 0.25, "kl": None})
    written.beside("heldout", {"step": 0, "loss": 3.0}, {"step": 50, "loss": 2.5})
    written.beside("curves", {"step": 50, "tasks": {"quiz": {"metrics": {"acc": 0.625}}, "none": {"metrics": {"acc": None}}}})
    with written.metrics.open("a") as file:
        file.write("no json\n")
    stage, shown = now(tmp_path / "run")
    assert shown.figures == {"margin": 0.25}
    assert shown.stragglers == 1
    assert last_scores(stage) == ("held-out loss 2.500 at 50 (first 3.000)", "quiz acc 0.625 at 50")
    assert shown.notes[0] == "continued after step 50"
    assert shown.notes[1].startswith("step 56: rank 1 ␛[31m takes")
    assert shown.notes[2] == "1 damaged lines passed over"


def test_more_sources_than_can_be_shown_are_told(training: Callable, tmp_path: Path) -> None:
    training().train(1, 2, loss_by_source={f"source-{number}": 1.0 for number in range(600)})
    stage, shown = now(tmp_path / "run")
    assert len(stage.account.curves.names) == 512
    assert any(note.startswith("more than 512 sources") for note in shown.notes)


def test_samples_come_newest_first_on_one_line_and_cannot_steer_a_terminal(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 3)
    written.beside("samples", {"step": 1, "prompt": "The", "text": "old"}, {"step": 2, "prompt": 3, "text": "odd"})
    written.beside("samples", {"step": 3, "prompt": "Say", "text": "a\nb\x1b]0;taken\x07 \u202egnp"})
    stage, _ = now(tmp_path / "run")
    newest, old = sample_lines(stage, 100)
    assert newest == (3, "Say", "a ↵ b␛]0;taken␇ ⟨U+202E⟩gnp")
    assert old == (1, "The", "old")
    assert len(sample_lines(stage, 100, most=1)) == 1
