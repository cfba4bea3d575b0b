import json
from pathlib import Path

import pytest

from pellucid.cli.main import main


@pytest.fixture
def study(finished_study: Path) -> str:
    return str(finished_study.parent / "study.yaml")


def test_the_plan_of_a_study_says_what_runs_share(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", study]) == 0
    out = capsys.readouterr().out
    assert "0.003-12288-s1 (4.1 k tokens)" in out
    assert "8 runs, 57.3 k tokens" in out
    assert main(["plan", study, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tokens"] == 57_344
    assert {run["begins_with"] for run in told["runs"]} == {None, *(f"{peak}-12288-s{seed}" for peak in ("0.003", "0.01") for seed in (1, 2))}  # fmt: skip  # noqa: E501


def test_a_study_is_explained_with_the_meaning_of_its_values(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", study]) == 0
    out = capsys.readouterr().out
    assert "8 runs, digest" in out
    assert "Runs side by side." in out
    assert main(["explain", study, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 8


@pytest.mark.parametrize("command", ["documents", "train", "tune"])
def test_other_commands_say_that_it_is_a_study(study: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, study]) == 2
    assert "is a study" in capsys.readouterr().err


def test_flags_of_recipes_and_of_studies_are_kept_apart(
    study: str, finished_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", study, "--on", "8xH100"]) == 2
    assert "--on is for a recipe" in capsys.readouterr().err
    assert main(["run", str(finished_study.parent / "base.yaml"), "--only", "x"]) == 2
    assert "--only is for a study" in capsys.readouterr().err


def test_a_broken_study_is_told_with_all_its_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("kind: study\nbase: b.yaml\nseeds: [1, 1]\naxes: {a: {}}\n")
    assert main(["run", str(path)]) == 2
    err = capsys.readouterr().err
    assert "2 problems" in err
    assert "seeds[1]" in err and "axes.a" in err
