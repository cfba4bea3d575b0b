import pytest

from pellucid.core import progress as module
from pellucid.core.progress import progress, track


def test_a_log_gets_a_line_with_share_and_time_left_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_LOG_EVERY_S", 0.0)
    monkeypatch.setattr(module, "console", module.Console(stderr=True, force_terminal=False))
    with progress("training", total=4, unit="steps") as bar:
        bar.note("loss 3.21")
        bar.resume_at(1)
        bar.advance()
    line = capsys.readouterr().err
    assert "training: 50 %" in line
    assert "left" in line
    assert "loss 3.21" in line


def test_tracking_yields_every_item_once() -> None:
    assert list(track(range(5), "counting", total=5)) == [0, 1, 2, 3, 4]


def test_parts_of_a_unit_add_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_LOG_EVERY_S", 0.0)
    monkeypatch.setattr(module, "console", module.Console(stderr=True, force_terminal=False))
    with progress("judging", total=4, unit="questions") as bar:
        done = bar.parts(1 / 2)
        done(3)
        done(1)
    first, second = capsys.readouterr().err.splitlines()
    assert "judging: 38 %" in first and "judging: 50 %" in second
