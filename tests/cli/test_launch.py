import json
import shlex
from pathlib import Path

import pytest

from pellucid.cli.main import main

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_the_job_is_written_and_the_line_that_submits_it_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "the runs"
    assert main(["launch", RECIPE, "--set", "launch.kind=slurm", "--runs", str(runs)]) == 0
    written, submit, first = capsys.readouterr().out.splitlines()
    job = runs / "pocket-smoke" / "launch" / "job.sbatch"
    assert job.is_file()
    assert written.split(maxsplit=1) == ["wrote", str(job)]
    assert shlex.split(submit)[-2:] == ["sbatch", str(job)]
    assert "no shards yet" in first


def test_the_example_of_the_help_works(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(RECIPE).parents[1])
    assert main(["launch", "--help"]) == 0
    example = capsys.readouterr().out.strip().splitlines()[-1].removeprefix("example: pellucid ")
    assert main([*example.split(), "--runs", str(tmp_path)]) == 0


def test_a_run_that_has_shards_needs_nothing_before(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", RECIPE, "--set", "launch.kind=local", "--runs", str(run_copy.parent)]) == 0
    assert "no shards yet" not in capsys.readouterr().out
    assert main(["verify", str(run_copy)]) == 0


def test_problems_of_the_section_are_shown_at_once_and_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--set", "launch={kind: kubernetes, nodes: 0}"]
    assert main(["launch", RECIPE, *wrong, "--runs", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "3 problems" in shown
    assert main(["launch", RECIPE, "--runs", str(tmp_path)]) == 2
    assert "--set launch.kind=local" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_explain_shows_the_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", RECIPE, "--set", "launch.kind=slurm", "--json"]) == 0
    fields = {row["field"]: row for row in json.loads(capsys.readouterr().out)["fields"]}
    assert (fields["launch.kind"]["value"], fields["launch.kind"]["origin"]) == ("slurm", "override")
    assert fields["launch.grace_s"]["value"] == 120
