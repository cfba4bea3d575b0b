"""The shell script for one machine, run by a real shell: once with a stand-in for torchrun, once with torchrun itself."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from pellucid.launch.local import local_script
from pellucid.launch.script import arguments_of
from pellucid.recipe.launch import LaunchConfig

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def test_torchrun_gets_every_word_as_it_was_given(standins: Any, hostile: LaunchConfig, arguments: tuple[str, ...]) -> None:
    done = standins.run(local_script(hostile, arguments))
    assert done.returncode == 0, done.stderr
    call = standins.calls("torchrun")[0]
    assert call["words"] == ["--standalone", "--nproc-per-node=4", "--max-restarts=5", "-m", "pellucid", *arguments]
    assert {name: call["environment"][name] for name in hostile.environment} == hostile.environment
    assert call["environment"]["FROM_SETUP"] == "yes"
    assert not list(standins.folder.rglob("ran"))


def test_the_script_exits_as_torchrun_does(standins: Any) -> None:
    assert standins.run(local_script(LaunchConfig(), ["train"]), TORCHRUN_STATUS="7").returncode == 7


def test_torchrun_itself_runs_the_stage(run_copy: Path, tmp_path: Path) -> None:
    """On a finished run, where there is nothing left to train."""
    launch = LaunchConfig(device="cpu", setup=(f'PATH="{Path(sys.executable).parent}:$PATH"',))
    script = tmp_path / "job.sh"
    script.write_text(local_script(launch, arguments_of("train", str(RECIPE), str(run_copy.parent), ())))
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stderr
