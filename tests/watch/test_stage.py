from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.metrics import MetricsLog
from pellucid.watch import stage as stage_module
from pellucid.watch.stage import StageWatch


def test_a_stage_is_followed_while_it_is_written(training: Callable) -> None:
    written = training(steps=50)
    stage = StageWatch(written.folder)
    assert stage.poll()
    assert stage.has_begun
    assert not stage.poll()
    written.train(1, 20)
    assert stage.poll()
    assert stage.account.step == 20
    with written.metrics.open("a") as file:
        file.write('{"step":21,"lo')
    assert not stage.poll()
    assert stage.account.damaged == 0
    assert not stage.is_ended
    (written.folder / "manifest.json").write_text("{}")
    assert stage.is_ended


def test_a_resumed_stage_is_shown_as_it_goes_on_now(training: Callable) -> None:
    written = training().train(1, 40)
    stage = StageWatch(written.folder)
    stage.poll()
    before = stage.generation
    written.resume(30)
    written.train(31, 60, loss=1.0)
    stage.poll()
    assert stage.generation > before
    assert stage.account.step == 60
    assert stage.account.resumes == [30]
    assert stage.account.curves.records == 60
    assert stage.account.curves.curve("loss").mean_K[-1] == 1.0


def test_what_the_recorder_itself_does_on_a_resume_is_followed(tmp_path: Path, line: Callable) -> None:
    path = tmp_path / "run/pretrain/metrics.jsonl"
    log = MetricsLog(path, resume_step=-1)
    stage = StageWatch(path.parent)
    log.append({"step": 0, "event": "start", "steps": 90})
    for step in range(1, 41):
        log.append(line(step))
        assert stage.poll()
        assert stage.account.step == step
    log.close()
    log = MetricsLog(path, resume_step=30)
    stage.poll()
    assert stage.account.step == 30
    log.append({"step": 30, "event": "resume", "checkpoint": "step-00000030"})
    for step in range(31, 36):
        log.append(line(step))
    log.close()
    stage.poll()
    assert (stage.account.step, stage.account.resumes, stage.account.planned_steps) == (35, [30], 90)


def test_samples_and_scores_beside_it_are_read_and_outlast_a_resume_of_the_metrics(training: Callable) -> None:
    written = training().train(1, 10)
    written.beside("samples", {"step": 5, "prompt": "The", "text": " end"})
    written.beside("heldout", {"step": 0, "loss": 3.0}, {"step": 10, "loss": 2.0})
    task = {"metrics": {"acc": 0.5, "odd": "x"}, "nats": [[1, 2]]}
    written.beside("curves", {"step": 10, "tokens": 40, "tasks": {"quiz": task, "broken": 3}})
    stage = StageWatch(written.folder)
    stage.poll()
    written.resume(5)
    stage.poll()
    assert stage.samples[0]["text"] == " end"
    assert [line["loss"] for line in stage.heldout] == [3.0, 2.0]
    (evaluation,) = stage.evaluations
    assert evaluation["tasks"].keys() == {"quiz"}
    assert evaluation["tasks"]["quiz"]["acc"] == 0.5
    assert "nats" not in evaluation["tasks"]["quiz"]


def test_a_large_file_gives_a_picture_first_and_then_the_whole(training: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(stage_module, "_END_BYTES", 2**15)
    written = training(steps=9000)
    written.train(1, 2499).write({**written.lines[-1], "step": 2500, "loss": 70.0})
    written.train(2501, 6000)
    stage = StageWatch(written.folder)
    assert stage.poll(0.0)
    assert not stage.is_whole
    assert stage.account.step == 6000
    assert stage.account.planned_steps == 9000
    assert stage.metrics.bytes_read < 1024 * 2**14 + 2**21
    first = stage.generation
    stage.read_all()
    assert stage.is_whole
    assert stage.generation > first
    assert stage.account.curves.records == 6000
    assert stage.account.curves.curve("loss").high_K.max() == 70.0
    assert stage.read_share == 1.0


def test_a_folder_that_is_not_there_is_waited_for(training: Callable, tmp_path) -> None:
    stage = StageWatch(tmp_path / "run/pretrain")
    assert not stage.poll()
    assert not stage.has_begun
    training().train(1, 3)
    assert stage.poll()
    assert stage.account.step == 3
    stage.close()


def test_a_stage_that_was_set_aside_is_begun_anew(training: Callable) -> None:
    written = training().train(1, 30)
    stage = StageWatch(written.folder)
    stage.poll()
    written.folder.rename(written.folder.with_name("pretrain.superseded-1"))
    assert stage.poll()
    assert not stage.has_begun
    training().train(1, 4)
    stage.poll()
    assert stage.account.step == 4


def test_what_is_counted_as_read_is_what_was_read(training: Callable) -> None:
    written = training().train(1, 10)
    written.beside("samples", {"step": 5, "prompt": "The", "text": " end"})
    stage = StageWatch(written.folder)
    for _ in range(3):
        stage.poll()
    assert stage.bytes_read == written.metrics.stat().st_size + (written.folder / "samples.jsonl").stat().st_size
