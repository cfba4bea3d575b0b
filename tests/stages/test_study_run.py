import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pellucid.core.errors import ArtifactError, DataError, DiskFullError
from pellucid.core.ledger import read_ledger
from pellucid.recipe.study import StopConfig
from pellucid.stages import study_run
from pellucid.stages.study_run import RunTask, known_outcome, make_run, prepare_run
from pellucid.stages.verify import verify_run
from pellucid.studies.collect import collect_run
from pellucid.studies.design import load_study


@pytest.fixture
def task(finished_study: Path, tmp_path: Path) -> RunTask:
    """A run of the finished study in a study folder that has nothing but the shared data."""
    planned = load_study(finished_study.parent / "study.yaml").runs[4]
    folder = tmp_path / "study"
    (folder / "shared").mkdir(parents=True)
    for kept in (finished_study / "shared").iterdir():
        if not kept.name.startswith("pretrain"):
            shutil.copytree(kept, folder / "shared" / kept.name)
    return RunTask(planned, folder, threads=1, stop=StopConfig())


def test_a_run_is_made_once_and_its_outcome_known(task: RunTask, finished_study: Path) -> None:
    assert known_outcome(task) is None
    ended = make_run(task)
    assert (ended["outcome"], ended["message"]) == ("done", "")
    assert known_outcome(task) == ended
    assert torch.get_num_threads() == 1
    attempts = [event["stage"] for event in read_ledger(task.folder / "ledger.jsonl") if event["event"] == "start"]
    assert attempts == ["plan", "pretrain", "evaluate", "account"]  # the data were there
    assert make_run(task) == ended
    assert [event["stage"] for event in read_ledger(task.folder / "ledger.jsonl") if event["event"] == "start"] == attempts


def test_another_rule_or_recipe_makes_what_was_known_unknown(task: RunTask) -> None:
    make_run(task)
    assert known_outcome(RunTask(task.run, task.study, 1, StopConfig(above_loss=1.0))) is None
    assert known_outcome(RunTask(task.run, task.study, 1, StopConfig(), target_loss=2.0)) is None
    for damaged in (b"{", b"[]\n", b"{}\n"):
        task.outcome.write_bytes(damaged)
        assert known_outcome(task) is None


def test_the_noise_scale_is_measured_at_kept_checkpoints_and_the_run_still_verifies(task: RunTask) -> None:
    measured = replace(task, noise_seqs=16)
    assert make_run(measured)["outcome"] == "done"
    run = collect_run(task.run, task.folder, "done")
    assert [one["step"] for one in run.noise] == [2, 4, 6, 8, 10, 12]
    assert all(one["trace"] > 0 for one in run.noise)
    found = verify_run(task.folder)
    assert found.faults == []
    assert not any("noise" in note and "outside" in note for note in found.notes)
    before = (task.folder / "noise/manifest.json").read_bytes()
    assert make_run(measured)["outcome"] == "done"
    assert (task.folder / "noise/manifest.json").read_bytes() == before


def test_a_run_that_was_cut_off_when_the_budget_was_spent_is_unfinished(task: RunTask) -> None:
    make_run(task)
    task.outcome.unlink()
    ended = make_run(replace(task, budget_cpu_hours=1e-9))
    assert ended["outcome"] == "unfinished"
    assert "budget.cpu_hours = 1e-09 is spent" in ended["message"]
    assert make_run(task)["outcome"] == "done"


def test_a_finished_run_stays_so_by_other_rules_when_the_budget_is_spent(task: RunTask) -> None:
    ended = make_run(task)
    assert make_run(replace(task, stop=StopConfig(target_loss=1.0), budget_cpu_hours=1e-9)) == ended


def test_a_rule_does_not_look_at_what_another_recipe_has_trained(task: RunTask, finished_study: Path) -> None:
    make_run(task)
    other = load_study(finished_study.parent / "study.yaml", ["set.train.pretrain.z_loss=1e-4"]).runs[4]
    assert other.name == task.run.name
    ended = make_run(replace(task, run=other, stop=StopConfig(window_steps=3, above_loss=1.0, after_steps=5)))
    assert ended["outcome"] == "stopped"
    run = collect_run(other, task.folder, "stopped")
    assert run.stages[0].steps == tuple(range(1, 7))  # its own, up to where the rule ended them


def test_data_can_be_prepared_before_runs_begin_side_by_side(task: RunTask) -> None:
    prepare_run(task)
    assert (task.folder / "shards/manifest.json").is_file()
    assert not (task.folder / "pretrain").exists()


def test_data_that_cannot_be_used_are_told_and_tried_again(task: RunTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise DataError("https://example.org cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(study_run, "_before_training", unreachable)
        ended = make_run(task)
        prepare_run(task)  # leaves it to the run to tell
    assert (ended["outcome"], ended["message"]) == ("failed", "DataError: https://example.org cannot be reached")
    assert make_run(task)["outcome"] == "done"


def test_a_full_disk_is_no_outcome(task: RunTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFullError("no room left")

    with monkeypatch.context() as patch:
        patch.setattr(study_run, "_stages", full)
        with pytest.raises(DiskFullError):
            make_run(task)
    assert known_outcome(task) is None
    assert make_run(task)["outcome"] == "done"


def test_an_artifact_that_cannot_be_read_is_no_outcome_either(task: RunTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise ArtifactError("is damaged")

    monkeypatch.setattr(study_run, "_stages", damaged)
    with pytest.raises(ArtifactError):
        make_run(task)
    assert not task.outcome.exists()
