import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import RunLockedError
from pellucid.core.lock import run_lock
from pellucid.watch.handing import TOOLS, hand_over, where
from pellucid.watch.run import RunWatch
from pellucid.watch.tensorboard import read_events


def steps(folder: Path) -> list[int]:
    (file,) = folder.iterdir()
    return [step for _, step, _ in read_events(file)][1:]


def test_every_stage_is_handed_over_as_it_begins_until_the_last_has_ended(training: Callable, tmp_path: Path) -> None:
    recipe = "train: [{name: pretrain, length_tokens: 1, batch_tokens: 1}, {name: sft, length_tokens: 1, batch_tokens: 1}]"
    first = training("run/pretrain").train(1, 20)
    (tmp_path / "run/recipe.resolved.yaml").write_text(recipe)
    told: list[str] = []
    follower = threading.Thread(
        target=hand_over, args=(RunWatch(tmp_path / "run"), "tensorboard", tmp_path / "board", 0.01, told.append), daemon=True
    )
    follower.start()
    first.train(21, 30)
    (first.folder / "manifest.json").write_text("{}")
    second = training("run/sft").train(1, 7)
    assert follower.is_alive()
    (second.folder / "manifest.json").write_text("{}")
    follower.join(30)
    assert not follower.is_alive()
    assert steps(tmp_path / "board/run/pretrain") == list(range(1, 31))
    assert steps(tmp_path / "board/run/sft") == list(range(1, 8))
    assert [line.split(";")[0] for line in told] == ["run/pretrain: ended", "run/sft: ended"]


def test_two_do_not_write_the_same(training: Callable, tmp_path: Path) -> None:
    training().train(1, 3)
    with run_lock(tmp_path / "board/.pellucid/run"), pytest.raises(RunLockedError, match="--dir"):
        hand_over(RunWatch(tmp_path / "run"), "tensorboard", tmp_path / "board", 0.01, print)


def test_what_is_written_lies_beside_the_runs(training: Callable, tmp_path: Path) -> None:
    training().train(1, 3)
    for path in ("run", "run/pretrain"):
        assert where(RunWatch(tmp_path / path), "wandb") == tmp_path / "watch/wandb"
    assert set(TOOLS) == {"tensorboard", "wandb", "trackio"}
