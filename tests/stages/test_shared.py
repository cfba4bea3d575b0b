import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.ledger import read_ledger
from pellucid.stages import shared
from pellucid.stages.flow import stages_of
from pellucid.stages.shared import begin_with, keep_shared, take_shared
from pellucid.stages.stage import Context, Stage
from pellucid.studies.design import load_study


def stage_of(context: Context, name: str) -> Stage:
    return next(stage for stage in stages_of(context.loaded) if stage.name == name)


@pytest.fixture
def context(finished_study: Path, tmp_path: Path) -> Context:
    """The short run of the finished study, by itself: all of it before training."""
    planned = next(run for run in load_study(finished_study.parent / "study.yaml").runs if run.name == "0.003-6144-s1")
    run = tmp_path / planned.name
    run.mkdir()
    for name in ("documents", "tokenizer", "shards"):
        shutil.copytree(finished_study / "runs" / planned.name / name, run / name)
    return Context(planned.loaded, run)


def test_an_artifact_goes_into_the_store_and_out_of_it_as_links(context: Context, tmp_path: Path) -> None:
    stage, store = stage_of(context, "tokenizer"), tmp_path / "shared"
    keep_shared(stage, context, store)
    before = (context.run / "tokenizer/manifest.json").stat()
    shutil.rmtree(context.run / "tokenizer")
    assert take_shared(stage, context, store)
    assert find_faults(context.run / "tokenizer") == []
    assert (context.run / "tokenizer/manifest.json").stat().st_ino == before.st_ino
    [event] = read_ledger(context.run / "ledger.jsonl")
    assert (event["event"], event["folder"]) == ("shared", "tokenizer")
    assert take_shared(stage, context, store)  # it is there, and nothing is written down again
    assert len(list(read_ledger(context.run / "ledger.jsonl"))) == 1


def test_what_was_altered_in_the_store_is_not_taken(context: Context, tmp_path: Path) -> None:
    stage, store = stage_of(context, "tokenizer"), tmp_path / "shared"
    keep_shared(stage, context, store)
    shutil.rmtree(context.run / "tokenizer")
    [kept] = store.iterdir()
    (kept / "tokenizer.json").write_bytes(b"{}") if (kept / "tokenizer.json").exists() else next(
        file for file in kept.iterdir() if file.name != "manifest.json"
    ).write_bytes(b"{}")
    assert not take_shared(stage, context, store)
    assert not (context.run / "tokenizer").exists()


def test_where_links_cannot_be_made_files_are_copied(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    stage, store = stage_of(context, "tokenizer"), tmp_path / "shared"
    keep_shared(stage, context, store)
    [kept] = store.iterdir()
    assert find_faults(kept) == []
    assert (kept / "manifest.json").stat().st_ino != (context.run / "tokenizer/manifest.json").stat().st_ino


def test_runs_that_make_the_same_at_once_leave_one_whole_and_their_own_as_it_was(
    context: Context, finished_study: Path, tmp_path: Path
) -> None:
    stage, store = stage_of(context, "shards"), tmp_path / "shared"
    others = [Context(context.loaded, tmp_path / f"other-{number}") for number in range(6)]
    for other in others:
        shutil.copytree(context.run, other.run)
        (other.run / "ledger.jsonl").unlink(missing_ok=True)
    threads = [threading.Thread(target=keep_shared, args=(stage, one, store)) for one in (context, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [kept] = store.iterdir()
    assert find_faults(kept) == []
    assert all(find_faults(one.run / "shards") == [] for one in (context, *others))


def test_what_another_recipe_trained_is_set_aside_and_not_lost(context: Context, finished_study: Path) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]
    shutil.copytree(finished_study / "runs/0.01-6144-s2/pretrain", context.run / "pretrain")
    assert begin_with(stage, config, context, finished_study / "runs/0.003-12288-s1", 5) == 4
    assert find_faults(context.run / "pretrain.superseded-1") == []


def test_a_stage_begins_at_the_newest_checkpoint_that_is_common(context: Context, finished_study: Path) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]
    other = finished_study / "runs/0.003-12288-s1"
    assert begin_with(stage, config, context, other, 5) == 4
    folder = context.run / "pretrain"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
    for path in (folder / "checkpoints").iterdir():
        assert find_faults(path) == []
        _, meta = load_checkpoint(path)
        assert meta["stage"]["length_tokens"] == 6144  # theirs has 12 288
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()][-1] == 4
    theirs = other / "pretrain/checkpoints/step-00000004"
    assert (folder / "checkpoints/step-00000004/model.safetensors").stat().st_ino == (theirs / "model.safetensors").stat().st_ino
    assert read_manifest(theirs).config["stage"]["length_tokens"] == 12_288  # is as it was
    assert (folder / "metrics.jsonl").stat().st_nlink == 1
    [event] = read_ledger(context.run / "ledger.jsonl")
    assert (event["event"], event["step"], event["run"]) == ("begun_with", 4, other.name)
    # What was begun is gone on with, not begun again.
    assert begin_with(stage, config, context, other, 5) == 0


def test_a_stage_does_not_begin_with_one_that_learns_from_other_text_or_has_no_checkpoint(
    context: Context, finished_study: Path, tmp_path: Path
) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]
    assert begin_with(stage, config, context, finished_study / "runs/0.003-12288-s2", 5) == 0  # another seed
    assert begin_with(stage, config, context, tmp_path / "nowhere", 5) == 0
    assert begin_with(stage, config, context, finished_study / "runs/0.003-12288-s1", 1) == 0
    assert not (context.run / "pretrain").exists()


def test_what_was_passed_over_goes_with_the_beginning_and_what_came_of_later_spikes_does_not(
    context: Context, finished_study: Path, tmp_path: Path
) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]
    other = tmp_path / "other"
    shutil.copytree(finished_study / "runs/0.003-12288-s1", other)
    seen = {"losses": [9.0], "usual_loss": 5.0, "rolled_back_to": 0}
    early, late = ({"first_skipped": 2, "last_skipped": 3, **seen}, {"first_skipped": 4, "last_skipped": 9, **seen})
    (other / "pretrain/skips.json").write_text(json.dumps([early]))
    assert begin_with(stage, config, context, other, 5) == 4
    assert json.loads((context.run / "pretrain/skips.json").read_text()) == [early]
    # The shorter run would not have noticed at step 9, and has applied step 4.
    shutil.rmtree(context.run / "pretrain")
    (other / "pretrain/skips.json").write_text(json.dumps([early, late]))
    assert begin_with(stage, config, context, other, 5) == 2
    assert json.loads((context.run / "pretrain/skips.json").read_text()) == [early]


def test_a_damaged_checkpoint_is_passed_over(context: Context, finished_study: Path, tmp_path: Path) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]
    other = tmp_path / "other"
    shutil.copytree(finished_study / "runs/0.003-12288-s1", other)
    with (other / "pretrain/checkpoints/step-00000004/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    assert begin_with(stage, config, context, other, 5) == 2


def test_a_kill_while_linking_leaves_nothing_that_looks_whole(
    context: Context, finished_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, config = stage_of(context, "pretrain"), context.recipe.train[0]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shared, "_copy_logs", killed)
        with pytest.raises(KeyboardInterrupt):
            begin_with(stage, config, context, finished_study / "runs/0.003-12288-s1", 5)
    assert not (context.run / "pretrain").exists()
    assert begin_with(stage, config, context, finished_study / "runs/0.003-12288-s1", 5) == 4
