from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.metrics import MetricsLog, read_metrics


def test_opening_at_a_step_forgets_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in range(1, 6):
        log.append({"step": step, "loss": 1.0 / step})
    log.close()
    log = MetricsLog(path, resume_step=3)
    log.append({"step": 4, "loss": 9.0})
    log.close()
    assert [(record["step"], record["loss"]) for record in read_metrics(path)][2:] == [(3, 1 / 3), (4, 9.0)]


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step":1}\n{"step":2')
    assert list(read_metrics(path)) == [{"step": 1}]
    assert list(read_metrics(tmp_path / "none")) == []


def test_a_damaged_line_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step":1}\n{"step"\xff2}\n{"step":3}\n')
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl, line 2 is damaged .*restore the file, or delete the line"):
        list(read_metrics(path))
