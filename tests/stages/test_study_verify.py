"""Whatever is altered in a study's folder is found, also by whoever writes new digests over it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.stages import study_verify
from pellucid.stages.study_verify import differences, verify_study

RUN = "0.003-12288-s1"
Change = Callable[[Path, Callable[[Any], None]], None]


@pytest.fixture
def copy(finished_study: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_study, tmp_path / "study")
    return tmp_path / "study"


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def faults(folder: Path) -> str:
    return "\n".join(verify_study(folder).faults)


def test_a_finished_study_holds_with_every_run_outcome_and_figure(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    result = verify_study(copy)
    assert result.faults == []
    looked = {one.name: one.looked for one in result.checks}
    assert looked["outcomes"] == 8
    assert looked["receipts"] == 4 * 12 + 4 * 6
    assert looked["results"] > 1000
    assert "results" in result.checked and f"runs/{RUN}/pretrain" in result.checked
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert main(["verify", str(copy)]) == 0
    assert "8 runs" in capsys.readouterr().out
    assert main(["verify", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    assert main(["verify", str(copy), "--replay", "2"]) == 2
    assert f"give one of {copy / 'runs'}" in capsys.readouterr().err


def test_a_byte_of_any_run_is_found(copy: Path) -> None:
    with (copy / "runs" / RUN / "pretrain/checkpoints/step-00000012/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    assert f"{RUN}/pretrain" in faults(copy)
    assert main(["verify", str(copy)]) == 1


def test_a_result_that_was_edited_is_found_by_its_digest(copy: Path, rewrite: Change) -> None:
    rewrite(copy / "results/study.json", lambda told: told["effects"].update(spread=0.5))
    assert "study.json" in faults(copy)


def better(runs: list[dict[str, Any]]) -> None:
    next(run for run in runs if run["name"] == RUN)["table"]["all"]["all"]["nats"] *= 0.9


def swapped(runs: list[dict[str, Any]]) -> None:
    one, other = runs[0], runs[2]
    one["levels"], other["levels"] = other["levels"], one["levels"]


def renamed(runs: list[dict[str, Any]]) -> None:
    """Two runs change places, name, levels and seed."""
    for key in ("name", "levels", "seed"):
        runs[0][key], runs[2][key] = runs[2][key], runs[0][key]


def excused(runs: list[dict[str, Any]]) -> None:
    runs[0].update(outcome="failed", message="diverged")


def twice(runs: list[dict[str, Any]]) -> None:
    runs.append(runs[0])


def invented(runs: list[dict[str, Any]]) -> None:
    runs.append({**runs[0], "name": "0.003-12288-s9", "seed": 9})


def forgotten(runs: list[dict[str, Any]]) -> None:
    del runs[3]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (forgotten, "runs.json lacks 0.003-6144 of seed 2"),
        (better, f"runs.json says of {RUN}: table: "),
        (swapped, "which is another run"),
        (twice, "runs.json has a run twice"),
        (renamed, "its folder gives"),
        (excused, f'says of {RUN}: outcome: "failed"; its folder gives "done"'),
        (invented, "has, and the study has not, 0.003-12288 of seed 9"),
    ],
)
def test_what_the_runs_do_not_give_is_found_though_digests_are_made_anew(
    copy: Path, rewrite: Change, reseal: Callable[..., None], change: Callable[[Any], None], told: str
) -> None:
    rewrite(copy / "results/runs.json", change)
    reseal(copy / "results")
    assert told in faults(copy)


def test_what_the_analyses_do_not_give_is_found_and_so_is_another_page(
    copy: Path, rewrite: Change, reseal: Callable[..., None]
) -> None:
    rewrite(copy / "results/study.json", lambda told: told["effects"]["axes"][0]["rows"][1].update(difference=-1.0))
    reseal(copy / "results")
    found = faults(copy)
    assert "says effects.axes[0].rows[1].difference = -1.0; the analyses give" in found
    assert "index.html is not the page of study.json" in found


def test_other_drawings_are_noted_and_other_words_are_a_fault(copy: Path) -> None:
    page = copy / "report/index.html"
    text = page.read_text()
    page.write_text(text.replace("<svg ", '<svg data-x="1" '))
    assert page.read_text() != text
    result = verify_study(copy)
    assert result.faults == []
    assert any("other versions of matplotlib" in note for note in result.notes)
    page.write_text(text.replace("bits per byte", "bits a byte", 1))
    assert "is not the page of study.json" in faults(copy)


def test_results_of_another_study_or_none_are_told(copy: Path) -> None:
    study = copy / "study.resolved.yaml"
    text = study.read_text()
    study.write_text(text.replace("loss_steps: 50", "loss_steps: 51"))
    assert "is of another study than" in faults(copy)
    study.write_text(text.replace("workers: 1", "workers: 2"))  # how runs were spread is no part of the results
    assert faults(copy) == ""
    study.write_text("kind: [")
    assert "is not the resolved form of a study" in faults(copy)
    study.write_text(text)
    (copy / "results/manifest.json").unlink()
    assert "manifest.json is missing" in faults(copy)
    shutil.rmtree(copy / "results")
    result = verify_study(copy)
    assert result.faults == [] and any("has no results yet" in note for note in result.notes)
    shutil.rmtree(copy / "runs")
    shutil.rmtree(copy / "outcomes")
    assert main(["verify", str(copy)]) == 1  # there is nothing to check


def test_what_another_version_says_otherwise_is_told_and_does_not_pass_for_checked(
    copy: Path, rewrite: Change, reseal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_verify, "code_version", lambda: "0.1.0+src.another.git.123")
    same = verify_study(copy)
    assert same.faults == [] and not any("results were made" in note for note in same.notes)
    rewrite(copy / "results/study.json", lambda told: told["effects"]["axes"][0]["rows"][1].update(difference=-1.0))
    reseal(copy / "results")
    result = verify_study(copy)
    assert result.faults == []
    [note] = [one for one in result.notes if "results were made by version" in one]
    assert "says effects.axes[0].rows[1].difference = -1.0" in note
    assert "was not made by this version" in result.checks[-1].proves


def test_another_commit_of_the_same_source_checks_all(copy: Path, rewrite: Change, reseal: Callable[..., None]) -> None:
    version = study_verify.source_of(study_verify.code_version()) + ".git.0123456789ab"
    rewrite(copy / "results/study.json", lambda told: told["effects"].update(spread=9.0))
    reseal(copy / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_verify, "code_version", lambda: version)
        assert "effects.spread = 9.0" in faults(copy)


def test_what_is_done_with_a_run_afterwards_is_no_fault_of_the_study(copy: Path) -> None:
    assert main(["verify", str(copy / "runs" / RUN), "--replay", "2", "--stage", "pretrain", "--step", "4"]) == 0
    assert faults(copy) == ""


def test_results_that_are_older_than_their_runs_are_told_in_a_line_with_what_to_do(study_copy: Path) -> None:
    study, copy = str(study_copy.parent / "study.yaml"), study_copy
    (copy / f"outcomes/{RUN}.json").unlink()
    shutil.rmtree(copy / "runs" / RUN)
    options = ["--runs", str(copy.parent)]
    assert main(["report", study, *options]) == 0
    found = json.loads((copy / "results/study.json").read_text())["cost"]["outcomes"]
    assert (found["done"], found["not begun"]) == (7, 1)
    assert faults(copy) == ""
    time.sleep(1.1)  # the ledger's times are whole seconds
    assert main(["run", study, *options, "--only", RUN]) == 0
    told = faults(copy)
    assert f"is older than what {RUN} did since; `pellucid report` of the study makes it again" in told
    assert len(told.splitlines()) == 1
    assert main(["report", study, *options]) == 0
    assert faults(copy) == ""


def test_failed_stopped_and_left_out_runs_hold_too(study_copy: Path) -> None:
    study, copy = str(study_copy.parent / "study.yaml"), study_copy
    wild = ["axes.peak.values=[3e-3, 1e30]", "set.train.pretrain.max_bad_steps=1", "compare={metric: loss, loss_steps: 4}"]
    assert main(["run", study, "--runs", str(copy.parent), *settings(*wild)]) == 0
    outcomes = json.loads((copy / "results/study.json").read_text())["cost"]["outcomes"]
    assert outcomes["failed"] == 4 and outcomes["done"] == 4
    assert faults(copy) == ""
    stop = "stop={window_steps: 3, above_loss: 1.0, after_steps: 5}"
    left = settings("set.train.pretrain.z_loss=1e-4", "budget.tokens=13000", stop)
    assert main(["run", study, "--runs", str(copy.parent), *left]) == 0
    result = verify_study(copy)
    assert result.faults == []
    assert any("was not begun; in its folder lies what an earlier form of the study left" in note for note in result.notes)
    outcomes = json.loads((copy / "results/study.json").read_text())["cost"]["outcomes"]
    assert outcomes["stopped"] == 1 and outcomes["not begun"] == 7


def test_outcomes_that_are_missing_damaged_or_of_another_recipe_are_found(copy: Path, rewrite: Change) -> None:
    file = copy / f"outcomes/{RUN}.json"
    kept = file.read_bytes()
    rewrite(file, lambda ended: ended["rules"].update(recipe="0" * 64))
    assert "is of another recipe than the run has" in faults(copy)
    file.write_bytes(b"{")
    assert str(file) in faults(copy)
    file.unlink()
    assert f'says of {RUN}: outcome: "done"; its folder gives "unfinished"' in faults(copy)
    file.write_bytes(kept)
    shutil.rmtree(copy / "runs" / RUN)
    found = faults(copy)
    assert "is of a run that is not there" in found and f"{RUN} is not there, and" in found


def test_numbers_may_differ_by_a_millionth_and_nothing_else() -> None:
    assert list(differences({"a": [1.0, 2]}, {"a": [1.0 + 1e-9, 2]})) == []
    assert [place for place, _, _ in differences({"p": 1e-7, "q": 1e-17}, {"p": 2e-7, "q": 3e-17})] == ["p"]
    assert list(differences({"a": [1.0, 2], "b": None}, {"a": [1.1, 2], "b": 3.0})) == [("a[0]", 1.0, 1.1), ("b", None, 3.0)]
    assert [place for place, _, _ in differences({"a": [1]}, {"a": [1, 2]})] == ["a"]
    assert [place for place, _, _ in differences({"a": "x"}, {"c": "x"})] == ["a", "c"]
