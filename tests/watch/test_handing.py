import random
import subprocess
import sys
import threading
import time
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


def test_however_often_it_is_killed_no_step_is_lost_or_comes_twice(training: Callable, tmp_path: Path) -> None:
    written = training("run/pretrain").train(1, 400)
    command = [sys.executable, "-m", "pellucid", "watch", str(tmp_path / "run"), "--to", "tensorboard", "--every-s", "0.01"]
    command += ["--dir", str(tmp_path / "board")]
    draw, step = random.Random(1), 400
    for _ in range(4):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 1.0 + draw.random()
        while time.monotonic() < until:
            written.train(step + 1, step + 20)
            step += 20
            time.sleep(0.01)
        child.kill()
        child.wait()
    (written.folder / "manifest.json").write_text("{}")
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert steps(tmp_path / "board/run/pretrain") == list(range(1, step + 1))


def test_two_do_not_write_the_same(training: Callable, tmp_path: Path) -> None:
    training().train(1, 3)
    with run_lock(tmp_path / "board/.pellucid/run"), pytest.raises(RunLockedError, match="--dir"):
        hand_over(RunWatch(tmp_path / "run"), "tensorboard", tmp_path / "board", 0.01, print)


def test_what_is_written_lies_beside_the_runs(training: Callable, tmp_path: Path) -> None:
    training().train(1, 3)
    for path in ("run", "run/pretrain"):
        assert where(RunWatch(tmp_path / path), "wandb") == tmp_path / "watch/wandb"
    assert set(TOOLS) == {"tensorboard", "wandb", "trackio"}
