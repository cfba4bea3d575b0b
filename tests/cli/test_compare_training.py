"""A finished run's own checkpoints, asked in several ways."""

import json
import shutil
from pathlib import Path

import pytest

from pellucid.cli.compare_training import stability_over_training
from pellucid.cli.main import main
from pellucid.evals.stored import StoredResult, open_results

ITEMS = [{"query": f"{n} and {n} make", "choices": [f"{2 * n}", f"{2 * n + 1}", f"{3 * n + 2}"], "gold": 0} for n in range(1, 13)]


@pytest.fixture
def scored(run_copy: Path, tmp_path: Path) -> list[str]:
    """Results of three checkpoints of a stage, of which the smoke run keeps two: the first is a copy under another step's name."""
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    place = run_copy / "pretrain/checkpoints"
    shutil.copytree(place / "step-00000020", place / "step-00000010")
    folders = []
    for number, checkpoint in enumerate([*sorted(place.glob("step-*")), run_copy]):
        out = tmp_path / f"scored-{number}"
        call = [
            "evaluate",
            str(checkpoint),
            "--suite",
            "bose",
            "--out",
            str(out),
            "--set",
            f"bose.tasks=[{tmp_path / 'sums.jsonl'}]",
        ]
        assert main(call) == 0
        folders.append(str(out))
    return folders


def opened(folders: list[str]) -> list[StoredResult]:
    return [result for folder in folders for result in open_results(Path(folder))]


def test_checkpoints_of_one_run_are_ranked_over_training(scored: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    scored = scored[2::-1]
    found = stability_over_training(opened(scored), seed=1)
    assert found is not None and found["steps"] == [10, 20, 30]
    assert set(found["against_plain"]) == {"sums"} and "blank" in found["against_plain"]["sums"]
    capsys.readouterr()
    assert main(["compare", *scored]) == 0
    shown = capsys.readouterr().out
    assert "Kendall's tau of the scores with the order of training" in shown and "sums:blank" in shown
    assert main(["compare", *scored, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stability"] == found


def test_two_checkpoints_or_those_of_several_stages_are_no_ranking(scored: list[str]) -> None:
    assert stability_over_training(opened(scored[:2]), seed=1) is None
    assert stability_over_training(opened(scored), seed=1) is None
