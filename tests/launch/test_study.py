"""Job files of a study: run by a real shell with stand-ins for what the cluster has."""

from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import RecipeError, UsageError
from pellucid.launch.study import write_study_jobs
from pellucid.recipe.launch import LaunchConfig, SlurmConfig

WAVES = [["long-s1", "long-s2"], ["short-s1"]]
SET = ["set.seed_x=a b", "work.threads=1"]


def write(launch: LaunchConfig | None, folder: Path) -> Path:
    return write_study_jobs(launch, folder / "s t.yaml", SET, folder / "runs" / "mine", WAVES).path


def test_on_slurm_data_come_first_then_each_wave_after_the_one_before_then_the_page(standins: Any, tmp_path: Path) -> None:
    slurm = SlurmConfig(partition="big", options=("--qos=high",))
    path = write(LaunchConfig(kind="slurm", device="cpu", nodes=2, devices_per_node=4, slurm=slurm), tmp_path)
    standins.add("sbatch")
    done = standins.run(path.read_text())
    assert done.returncode == 0, done.stderr
    data, *waves, page = [call["words"] for call in standins.calls("sbatch")]
    study, runs = str(tmp_path / "s t.yaml"), str(tmp_path / "runs")
    assert data[0] == "--parsable"
    assert {"--partition=big", "--qos=high"} <= set(data) & set(page)
    assert data[-1] == f"--wrap=pellucid shards '{study}' --runs {runs} --set 'set.seed_x=a b' --set work.threads=1"
    # Stand-ins have no numbers of jobs.
    assert [words[2] for words in waves] == ["--dependency=afterok:", "--dependency=afterok:,afterany:"]
    assert all(words[1] == "--kill-on-invalid-dep=yes" for words in waves)
    assert page[0].startswith("--dependency=afterany:")
    assert "pellucid report" in page[-1]


def test_each_job_of_an_array_trains_its_own_run_on_all_devices(standins: Any, tmp_path: Path) -> None:
    write(LaunchConfig(kind="slurm", device="cpu", nodes=2, devices_per_node=4), tmp_path)
    script = (tmp_path / "runs/mine/launch/wave-0.sbatch").read_text()
    assert "#SBATCH --array=0-1\n" in script
    done = standins.run(script, SLURM_JOB_ID="7", SLURM_JOB_NODELIST="n[1-2]", SLURM_ARRAY_JOB_ID="6", SLURM_ARRAY_TASK_ID="1")
    assert done.returncode == 0, done.stderr
    words = standins.calls("torchrun")[0]["words"]
    assert "--nproc-per-node=4" in words
    assert words[words.index("pellucid") + 1 :] == [
        *("run", str(tmp_path / "s t.yaml"), "--runs", str(tmp_path / "runs")),
        *("--set", SET[0], "--set", SET[1], "--only", "long-s2"),
    ]


def test_on_one_machine_the_runs_are_made_one_after_the_other(standins: Any, tmp_path: Path) -> None:
    path = write(LaunchConfig(kind="local"), tmp_path)
    standins.add("pellucid")
    assert standins.run(path.read_text()).returncode == 0
    [call] = standins.calls("pellucid")
    assert call["words"][:2] == ["run", str(tmp_path / "s t.yaml")]


def test_without_a_launch_section_and_on_kubernetes_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"launch\s+missing"):
        write(None, tmp_path)
    with pytest.raises(UsageError, match="known to Slurm alone"):
        write(LaunchConfig(kind="kubernetes"), tmp_path)
    with pytest.raises(UsageError, match=r"got 8; on one machine each run of a study is one process"):
        write(LaunchConfig(kind="local", devices_per_node=8), tmp_path)
