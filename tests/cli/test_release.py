import json
from pathlib import Path

import pytest

from pellucid.cli.main import main

pytest.importorskip("cyclonedx")


def test_the_command_says_what_was_released_and_what_is_lacking(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["release", str(finished_run), str(out), "--without", "code", "--without", "shards"]) == 0
    told = capsys.readouterr().out
    assert "Unclassified" in told and "lacks      Model architecture: the code was left out (--without code)" in told
    assert "asked: --without shards" in told and f"pellucid verify {out}" in told
    assert not (out / "code").exists() and not list((out / "shards").glob("*/*"))


def test_json_has_the_same(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "release",
        str(finished_run),
        str(tmp_path / "out"),
        "--json",
        "--set",
        "release.licence=MIT",
        "--checkpoints",
        "all",
    ]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["openness"]["class"] == 2 and told["left_out"] == [] and told["faults"] == []
    assert told["files"] == sum(1 for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert told["bytes"] == sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file())


def test_mistakes_are_told_with_status_two(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert main(["release", str(finished_run), str(finished_run / "x")]) == 2
    assert main(["release", str(finished_run), str(tmp_path / "out"), "--without", "weights"]) == 2
    assert "must be one of documents" in capsys.readouterr().err
