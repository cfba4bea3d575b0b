"""The flow of a study: what it shares, that it goes on where it was killed, and what failed runs and budgets leave."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pellucid.cli.main import main
from pellucid.core.artifacts import find_faults
from pellucid.core.errors import PellucidWarning
from pellucid.core.ledger import read_ledger
from pellucid.studies.results import runs_from_json

NAMES = [f"{peak}-{length}-s{seed}" for peak in ("0.003", "0.01") for length in (12288, 6144) for seed in (1, 2)]


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / f"pretrain/checkpoints/step-{step:08d}/model.safetensors")


def events(run: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_ledger(run / "ledger.jsonl") if event["event"] == name]


def run(copy: Path, *more: str) -> int:
    return main(["run", str(copy.parent / "study.yaml"), "--runs", str(copy.parent), *more])


def test_every_run_is_there_and_whole(finished_study: Path) -> None:
    assert sorted(path.name for path in (finished_study / "runs").iterdir()) == sorted(NAMES)
    results = runs_from_json(json.loads((finished_study / "results/runs.json").read_text()))
    assert [one.name for one in results] == NAMES
    assert all(one.outcome == "done" and one.is_comparable for one in results)
    assert find_faults(finished_study / "results") == []
    assert (finished_study / "report/index.html").stat().st_size > 1000


def test_data_stages_are_made_once_for_all_runs(finished_study: Path) -> None:
    made = [
        name for name in NAMES if any(event["stage"] == "documents" for event in events(finished_study / "runs" / name, "start"))
    ]
    assert len(made) == 1
    results = json.loads((finished_study / "results/runs.json").read_text())
    taken = [one["cost"]["data_s"] for one in results if one["name"] not in made]
    assert taken == [0.0] * 7
    files = [finished_study / "runs" / name / "documents/manifest.json" for name in NAMES]
    assert len({file.stat().st_ino for file in files}) == 1


def test_the_short_run_begins_with_the_long_ones_trunk_and_ends_with_the_bits_that_it_has_alone(
    finished_study: Path, tmp_path: Path
) -> None:
    short, long = (finished_study / "runs" / f"0.003-{length}-s1" for length in (6144, 12288))
    [begun] = events(short, "begun_with")
    assert (begun["run"], begun["step"]) == (long.name, 4)  # of six steps the last two cool down
    assert all(torch.equal(a, b) for a, b in zip(weights(short, 4).values(), weights(long, 4).values(), strict=True))
    # All by itself, from another folder, in this process.
    torch.set_num_threads(1)
    changes = ["train.pretrain.schedule.peak_lr=3e-3", "train.pretrain.length_tokens=6144", "seed=1", "name=alone"]
    recipe = str(finished_study.parent / "base.yaml")
    for stage in ("documents", "tokenizer", "shards", "train"):
        assert main([stage, recipe, "--runs", str(tmp_path), *(part for one in changes for part in ("--set", one))]) == 0
    alone = weights(tmp_path / "alone", 6)
    assert alone.keys() == weights(short, 6).keys()
    assert all(torch.equal(tensor, weights(short, 6)[name]) for name, tensor in alone.items())
    lines = [json.loads(line) for line in (short / "pretrain/metrics.jsonl").read_text().splitlines()]
    own = [json.loads(line) for line in (tmp_path / "alone/pretrain/metrics.jsonl").read_text().splitlines()]
    assert [(one["step"], one["loss"]) for one in lines if "loss" in one] == [
        (one["step"], one["loss"]) for one in own if "loss" in one
    ]
    curves = [json.loads((run / "pretrain/curves.jsonl").read_text().splitlines()[0]) for run in (short, tmp_path / "alone")]
    assert curves[0]["tasks"] == curves[1]["tasks"]


def test_runs_of_a_study_hold_what_any_run_holds(finished_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("0.003-12288-s1", "0.01-6144-s2"):
        copy = tmp_path / name
        shutil.copytree(finished_study / "runs" / name, copy)
        assert main(["verify", str(copy), "--deep"]) == 0, capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "0.01-6144-s2"), "--step", "2"]) == 0


def test_again_nothing_is_made_and_nothing_changes(study_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in study_copy.rglob("manifest.json")}
    assert run(study_copy) == 0
    assert {path: path.read_bytes() for path in study_copy.rglob("manifest.json")} == before
    assert not any(event["stage"] == "pretrain" for name in NAMES for event in events(study_copy / "runs" / name, "start")[99:])
    assert "unchanged" in capsys.readouterr().err


def test_workers_side_by_side_make_the_same_bits(finished_study: Path, new_study: Path) -> None:
    assert run(new_study, "--set", "work.workers=2", "--set", "seeds=[1]") == 0
    for name in (one for one in NAMES if one.endswith("s1")):
        last = 12 if "12288" in name else 6
        theirs = weights(finished_study / "runs" / name, last)
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in weights(new_study / "runs" / name, last).items()), name


def test_a_changed_axis_makes_only_what_is_new(study_copy: Path) -> None:
    more = "axes.length.values=[12288, 6144, 8192]"
    assert run(study_copy, "--set", more, "--set", "seeds=[1]") == 0
    assert len(events(study_copy / "runs/0.003-12288-s1", "start")) == len(events(study_copy / "runs/0.003-12288-s1", "end"))
    new = study_copy / "runs/0.003-8192-s1"
    [begun] = events(new, "begun_with")
    assert (begun["run"], begun["step"]) == ("0.003-12288-s1", 6)
    assert not any(event["stage"] == "pretrain" for event in events(study_copy / "runs/0.01-6144-s1", "start")[5:])


def test_a_study_that_goes_on_with_other_threads_is_told_so(study_copy: Path) -> None:
    more = ["--set", "work.threads=2", "--set", "seeds=[1]", "--set", "axes.length.values=[12288, 6144, 4096]"]
    with pytest.warns(PellucidWarning, match=r"4 of the study's runs were trained with 1 threads \(.*which can give other bits"):
        assert run(study_copy, *more) == 0
    # Where nothing is left to be trained there is nothing to tell; one run of many is told of all.
    with warnings.catch_warnings():
        warnings.simplefilter("error", PellucidWarning)
        assert run(study_copy, *more) == 0
    with pytest.warns(PellucidWarning, match=r"4 of the study's runs were trained with 1 threads"):
        assert run(study_copy, *more, "--set", "axes.length.values=[12288, 6144, 5120]", "--only", "0.003-5120-s1") == 0
    found = json.loads((study_copy / "results/study.json").read_text())["made_with"]
    assert [one["settings"]["threads"] for one in found] == [1, 2]
    assert {name.split("-")[1] for name in found[1]["runs"]} == {"4096"}
    assert "Not all runs were trained with the same settings" in (study_copy / "report/index.html").read_text()


def test_items_of_curves_that_are_missing_are_told_before_anything_is_made(
    new_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = "set.train.pretrain.curves={tasks: [nowhere.jsonl]}"
    assert run(new_study, "--set", curves) == 2
    assert "nowhere.jsonl" in capsys.readouterr().err
    assert not new_study.exists()


def test_only_makes_the_runs_that_are_named_and_tells_nothing(new_study: Path) -> None:
    assert run(new_study, "--only", "0.01-6144-s2") == 0
    assert [path.name for path in (new_study / "runs").iterdir()] == ["0.01-6144-s2"]
    assert not (new_study / "results").exists()
    assert run(new_study, "--only", "nobody") == 2


def test_a_run_that_diverges_is_kept_and_marked_and_not_tried_again(study_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--set", "axes.peak.values=[3e-3, 1e30]", "--set", "seeds=[1]", "--set", "set.train.pretrain.max_bad_steps=1"]
    assert run(study_copy, *wild) == 0
    results = {one.name: one for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))}
    failed = results["1e30-12288-s1"]
    assert failed.outcome == "failed"
    assert "TrainingError" in failed.message
    assert failed.cost.cpu_s > 0
    assert not failed.is_comparable
    assert results["0.003-12288-s1"].outcome == "done"
    capsys.readouterr()
    attempts = len(events(study_copy / "runs/1e30-12288-s1", "start"))
    assert run(study_copy, *wild) == 0
    assert len(events(study_copy / "runs/1e30-12288-s1", "start")) == attempts
    page = (study_copy / "report/index.html").read_text()
    assert "failed: TrainingError" in page


def test_a_rule_ends_a_run_and_its_page_says_where(study_copy: Path) -> None:
    rule = ["--set", "stop={window_steps: 3, above_loss: 1.0, after_steps: 5}", "--set", "seeds=[1]"]
    assert run(study_copy, *rule) == 0
    results = runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))
    assert {one.outcome for one in results} == {"stopped"}
    assert all("above its limit at step 6" in one.message for one in results)


def test_a_spent_budget_of_hours_begins_no_new_run_and_keeps_what_is_finished(study_copy: Path) -> None:
    more = ["--set", "budget.cpu_hours=1e-6", "--set", "seeds=[1, 5]"]
    assert run(study_copy, *more) == 0
    results = {one.name: one for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))}
    assert results["0.003-12288-s1"].outcome == "done"
    assert results["0.003-12288-s5"].outcome == "not begun"
    assert "budget.cpu_hours = 1e-06 is spent" in results["0.003-12288-s5"].message


def test_a_run_waits_for_the_end_of_the_run_at_whose_loss_it_ends(study_copy: Path) -> None:
    rule = "stop={window_steps: 2, target_level: {peak: '0.01', length: '12288'}}"
    assert run(study_copy, "--set", rule, "--set", "seeds=[1]") == 0
    results = {one.name: one for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))}
    target = results.pop("0.01-12288-s1")
    assert target.outcome == "done"
    for name, one in results.items():
        losses = one.stages[0].losses
        means = [(losses[at] + losses[at + 1]) / 2 for at in range(0, len(losses) - 1, 2)]
        assert one.outcome == ("stopped" if min(means) <= target.final_loss(50) else "done"), name
    # A target that diverged is no target.
    wild = ["--set", "axes.peak.values=[3e-3, 1e30]", "--set", "set.train.pretrain.max_bad_steps=1", "--set", "seeds=[1]"]
    assert run(study_copy, *wild, "--set", "stop={target_level: {peak: '1e30', length: '12288'}}") == 0
    results = {one.name: one for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))}
    assert results["1e30-12288-s1"].outcome == "failed"
    assert results["0.003-12288-s1"].outcome == "not begun"
    assert "1e30-12288-s1, at whose loss it is to end, has not come to its end" in results["0.003-12288-s1"].message


def test_a_report_takes_no_outcome_of_another_recipe_and_passes_damaged_ones_over(study_copy: Path) -> None:
    def outcomes() -> dict[str, str]:
        return {one.name: one.outcome for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))}

    (study_copy / "outcomes/0.01-6144-s1.json").write_bytes(b"[]\n")
    report = ["report", str(study_copy.parent / "study.yaml"), "--runs", str(study_copy.parent), "--set", "seeds=[1]"]
    assert main(report) == 0
    assert outcomes() == {"0.003-12288-s1": "done", "0.003-6144-s1": "done", "0.01-12288-s1": "done", "0.01-6144-s1": "unfinished"}
    assert main([*report, "--set", "set.train.pretrain.z_loss=1e-4"]) == 0
    assert set(outcomes().values()) == {"not begun"}


def test_runs_that_are_finished_stay_so_when_a_budget_has_no_room_for_them_any_more(study_copy: Path) -> None:
    assert run(study_copy, "--set", "budget.tokens=13000", "--set", "seeds=[1]") == 0
    assert {one.outcome for one in runs_from_json(json.loads((study_copy / "results/runs.json").read_text()))} == {"done"}


def test_a_report_says_as_the_run_did_why_runs_were_left_out(study_copy: Path) -> None:
    more = ["--set", "budget.tokens=13000", "--set", "seeds=[7]"]
    assert run(study_copy, *more) == 0
    told = (study_copy / "results/study.json").read_bytes()
    assert b"budget.tokens" in told
    assert main(["report", str(study_copy.parent / "study.yaml"), "--runs", str(study_copy.parent), *more]) == 0
    assert (study_copy / "results/study.json").read_bytes() == told


def test_what_a_kill_kept_out_of_the_store_is_brought_there_later(study_copy: Path) -> None:
    shutil.rmtree(study_copy / "shared")
    assert run(study_copy, "--set", "seeds=[1, 3]") == 0
    for name in ("0.003-12288-s3", "0.01-6144-s3"):
        assert not any(event["stage"] == "documents" for event in events(study_copy / "runs" / name, "start"))


def _finished(folder: Path) -> set[Path]:
    return set(folder.glob("study/runs/*/*/manifest.json"))


def test_killed_at_any_time_a_study_goes_on_and_repeats_nothing_that_was_finished(finished_study: Path, new_study: Path) -> None:
    folder = new_study.parent
    command = [sys.executable, "-m", "pellucid", "run", str(folder / "study.yaml"), "--runs", str(folder)]
    seen: dict[Path, bytes] = {}
    for wanted in (2, 9, 17):  # so many artifacts are there when it is killed
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while len(_finished(folder)) < wanted and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 60
        while _holders(folder) and time.monotonic() < deadline:
            time.sleep(0.05)  # workers end with the process that is gone
        seen |= {path: path.read_bytes() for path in _finished(folder)}
    assert run(new_study) == 0
    assert all(path.read_bytes() == before for path, before in seen.items() if path.parent.name != "account")
    for name in NAMES:
        ends = [event["stage"] for event in events(new_study / "runs" / name, "end")]
        trained = [stage for stage in ends if stage in ("documents", "tokenizer", "shards", "pretrain", "evaluate")]
        assert len(trained) == len(set(trained)), (name, ends)
        last = 12 if "12288" in name else 6
        theirs = weights(finished_study / "runs" / name, last)
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in weights(new_study / "runs" / name, last).items()), name


def _holders(folder: Path) -> list[str]:
    """Processes whose command line names the folder, or that hold a file in it open."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith(str(folder)) for link in links):
            found.append(process.name)
    return found
