import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from pellucid.core.errors import UsageError
from pellucid.watch.feed import Feed
from pellucid.watch.run import RunWatch


def plain(value: object) -> dict:
    return json.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def test_first_all_buckets_come_and_then_only_new_ones(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 50)
    feed = Feed([RunWatch(tmp_path / "run")], every_s=0.0)
    first = plain(feed.stage(0))
    assert first["stage"] == "pretrain"
    assert first["from"] == 0
    assert first["steps"] == list(range(1, 51))
    assert first["channels"]["loss"][0][9] == pytest.approx(written.lines[10]["loss"], rel=1e-6)
    assert first["channels"]["source/code"][0][:3] == [
        None,
        None,
        pytest.approx(written.lines[3]["loss_by_source"]["code"], rel=1e-6),
    ]
    written.train(51, 53)
    more = plain(feed.stage(0, "pretrain", first["generation"], first["stride"], 49))
    assert more["from"] == 49
    assert more["steps"] == [50, 51, 52, 53]
    assert len(more["channels"]["loss"][0]) == 4


def test_after_a_resume_everything_comes_again(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 50)
    feed = Feed([RunWatch(tmp_path / "run")], every_s=0.0)
    first = plain(feed.stage(0))
    written.resume(40)
    again = plain(feed.stage(0, "pretrain", first["generation"], first["stride"], 49))
    assert again["from"] == 0
    assert again["steps"] == list(range(1, 41))
    assert again["marks"]["resumes"] == [40]


def test_long_stages_come_as_means_lows_and_highs(training: Callable, tmp_path: Path) -> None:
    training().train(1, 5000)
    run = RunWatch(tmp_path / "run")
    run.read_all()
    found = plain(Feed([run], every_s=0.0).stage(0))
    assert found["stride"] == 4
    mean, low, high = found["channels"]["grad_norm"]
    assert all(a <= b <= c for a, b, c in zip(low, mean, high, strict=True))


def test_runs_stages_and_marks_are_told_and_texts_cannot_hide_anything(training: Callable, tmp_path: Path) -> None:
    written = training(steps=90).train(1, 40)
    written.train(41, 42, skipped=True, reason="loss \u202espike")
    written.beside("samples", {"step": 40, "prompt": "<b>", "text": "\u202e<script>"}, {"step": 41, "prompt": None, "text": 1})
    written.beside("heldout", {"step": 10, "loss": 3.5})
    written.beside("curves", {"step": 10, "tasks": {"quiz": {"metrics": {"acc": 0.5}}}})
    feed = Feed([RunWatch(tmp_path / "run")], every_s=0.0)
    (run,) = plain(feed.runs())["runs"]
    assert run["name"] == "run"
    assert run["stages"][0] | {"left_s": None} == {"name": "pretrain", "state": "training", "step": 42, "steps": 90, "left_s": None}
    found = plain(feed.stage(0))
    assert found["marks"]["skipped"] == [[41, "loss ⟨U+202E⟩spike"], [42, "loss ⟨U+202E⟩spike"]]
    assert found["marks"]["heldout"] == [[10, 3.5]]
    assert found["marks"]["scores"] == {"quiz acc": [[10, 0.5]]}
    assert found["samples"] == [{"step": 40, "prompt": "<b>", "text": "⟨U+202E⟩<script>"}]


def test_what_is_not_there_is_refused_or_empty(training: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    training().train(1, 2)
    feed = Feed([RunWatch(tmp_path / "run"), RunWatch(tmp_path / "empty")], every_s=0.0)
    assert feed.stage(1) == {"stage": None}
    for wrong in ((2, None), (-1, None), (0, "../pretrain")):
        with pytest.raises(UsageError):
            feed.stage(*wrong)


def test_files_are_looked_at_only_when_somebody_asks_and_not_too_often(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 10)
    run = RunWatch(tmp_path / "run")
    feed = Feed([run], every_s=3600.0)
    assert run.bytes_read == 0
    assert len(feed.stage(0)["steps"]) == 10
    written.train(11, 20)
    assert len(feed.stage(0)["steps"]) == 10


def test_lines_of_curves_that_are_no_evaluations_are_passed_over(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 20)
    written.beside("curves", {"step": 5}, {"step": 6, "tasks": None}, {"step": 7, "tasks": {"quiz": 3, "other": {"metrics": [1]}}})
    written.beside("curves", {"step": 10, "tasks": {"quiz": {"metrics": {"acc": 0.5}}}}, {"step": 12, "figures": {}})
    found = plain(Feed([RunWatch(tmp_path / "run")], every_s=0.0).stage(0))
    assert found["marks"]["scores"] == {"quiz acc": [[10, 0.5]]}
    assert found["now"]["scores"] == ["quiz acc 0.500 at 10"]
