from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.retention import apply_retention, drop_after, latest_good, list_checkpoints, newest_good
from pellucid.core.errors import PellucidWarning
from pellucid.recipe.training import CheckpointConfig


def save(root: Path, step: int) -> Path:
    return save_checkpoint(root, step, {"model": {"w": torch.full((3,), float(step))}}, meta={"step": step})


def damage(path: Path) -> None:
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def names(root: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in list_checkpoints(root)]


def test_there_is_no_latest_in_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert latest_good(tmp_path) is None
    assert latest_good(tmp_path / "missing") is None


def test_a_damaged_newest_is_passed_over_with_a_warning_that_names_the_file(tmp_path: Path) -> None:
    good, bad = save(tmp_path, 9), save(tmp_path, 10)
    assert latest_good(tmp_path) == bad
    damage(bad)
    with pytest.warns(PellucidWarning, match=r"step-00000010/model\.safetensors was altered"):
        assert latest_good(tmp_path) == good
    damage(good)
    with pytest.warns(PellucidWarning):
        assert latest_good(tmp_path) is None


def test_the_newest_good_ones_are_as_many_as_there_are(tmp_path: Path) -> None:
    paths = [save(tmp_path, step) for step in (1, 2, 3)]
    assert newest_good(tmp_path, 2) == [paths[2], paths[1]]
    damage(paths[2])
    with pytest.warns(PellucidWarning, match="step-00000003"):
        assert newest_good(tmp_path, 5) == [paths[1], paths[0]]


def test_steps_are_ordered_as_numbers_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    for step in (100_000_000, 99_999_999, 2):
        save(tmp_path, step)
    (tmp_path / "step-last").mkdir()
    (tmp_path / ".step-00000005.part").mkdir()
    assert names(tmp_path) == [2, 99_999_999, 100_000_000]


def test_the_newest_are_kept_and_multiples_for_good(tmp_path: Path) -> None:
    for step in range(10, 80, 10):
        save(tmp_path, step)
    dropped = apply_retention(tmp_path, CheckpointConfig(keep_last=2, keep_every_steps=30))
    assert names(tmp_path) == [30, 60, 70]
    assert [path.name[-2:] for path in dropped] == ["10", "20", "40", "50"]


def test_the_last_good_one_is_never_dropped_when_newer_ones_are_damaged(tmp_path: Path) -> None:
    paths = [save(tmp_path, step) for step in (1, 2, 3, 4)]
    damage(paths[2])
    damage(paths[3])
    apply_retention(tmp_path, CheckpointConfig(keep_last=1))
    assert names(tmp_path) == [2, 3, 4]
    with pytest.warns(PellucidWarning):
        assert latest_good(tmp_path) == paths[1]


def test_what_a_kill_left_half_done_is_cleared(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for name in (".step-00000002.part", ".step-00000000.dropped"):
        (tmp_path / name).mkdir()
    apply_retention(tmp_path, CheckpointConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@settings(max_examples=15, deadline=None)
@given(bad=st.sets(st.integers(1, 5)), keep=st.integers(1, 3), every=st.sampled_from((None, 2)), rounds=st.integers(1, 2))
def test_retention_never_loses_the_newest_good_checkpoint(
    bad: set[int], keep: int, every: int | None, rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("checkpoints")
    for step in range(1, 6):
        path = save(root, step)
        if step in bad:
            damage(path)
    good = sorted(set(range(1, 6)) - bad)
    for _ in range(rounds):
        apply_retention(root, CheckpointConfig(keep_last=keep, keep_every_steps=every))
    assert set(good[-1:]) <= set(names(root))


def test_a_bound_on_the_step_finds_an_older_one_and_what_is_newer_can_be_dropped(tmp_path: Path) -> None:
    paths = {step: save(tmp_path, step) for step in (5, 10, 15, 20)}
    assert latest_good(tmp_path, 14) == paths[10]
    assert latest_good(tmp_path, 10) == paths[10]
    assert latest_good(tmp_path, 4) is None
    drop_after(tmp_path, paths[10])
    assert names(tmp_path) == [5, 10]
    assert not list(tmp_path.glob(".*"))
    drop_after(tmp_path, paths[10])
    assert names(tmp_path) == [5, 10]
