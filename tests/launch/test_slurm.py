"""The sbatch script: run by a real shell with stand-ins, and by Slurm itself where it is installed."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.launch.slurm import slurm_script
from pellucid.recipe.launch import LaunchConfig, SlurmConfig

JOB = {"SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "node-[a1-a2,b7]"}
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol")


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_one_torchrun_for_each_node_gets_every_word_as_it_was_given(
    standins: Any, hostile: LaunchConfig, arguments: tuple[str, ...]
) -> None:
    done = standins.run(slurm_script(hostile, arguments, "a", "/logs"), **JOB)
    assert done.returncode == 0, done.stderr
    call = standins.calls("torchrun")[0]
    assert call["words"] == [
        *("--nnodes=3", "--rdzv-backend=c10d", "--rdzv-endpoint=node-a1:24567", "--rdzv-id=1234567"),
        *("--nproc-per-node=4", "--max-restarts=5", "-m", "pellucid", *arguments),
    ]
    assert {name: call["environment"][name] for name in hostile.environment} == hostile.environment
    assert standins.calls("srun")[0]["words"][:3] == ["--kill-on-bad-exit=0", "--cpu-bind=none", "torchrun"]
    assert standins.calls("scontrol")[0]["words"] == ["show", "hostnames", JOB["SLURM_JOB_NODELIST"]]
    assert not list(standins.folder.rglob("ran"))


def test_the_header_says_what_the_section_says() -> None:
    slurm = SlurmConfig(partition="big", account="lab", options=("--qos=high", "--comment=it's mine"))
    launch = LaunchConfig(kind="slurm", nodes=4, devices_per_node=8, time_limit_h=49.5, grace_s=300, slurm=slurm)
    assert options(slurm_script(launch, ["train"], "tiny", "/a b/100 %")) == [
        *("--job-name=tiny", "--nodes=4", "--ntasks-per-node=1", "'--output=/a b/100 %%/%j.log'", "--open-mode=append"),
        *("--requeue", "--signal=B:USR1@300", "--gpus-per-node=8", "--time=2-01:30:00", "--partition=big", "--account=lab"),
        *("--qos=high", "'--comment=it'\"'\"'s mine'"),
    ]


def test_what_is_not_given_is_left_to_the_cluster() -> None:
    names = {option.split("=")[0] for option in options(slurm_script(LaunchConfig(device="cpu"), ["train"], "a", "/logs"))}
    assert not names & {"--time", "--partition", "--account", "--gpus-per-node"}


@pytest.mark.parametrize(("hours", "text"), [(2.3, "0-02:18:00"), (0.0499, "0-00:02:00"), (8760, "365-00:00:00")])
def test_a_time_limit_is_never_rounded_up(hours: float, text: str) -> None:
    assert f"--time={text}" in options(slurm_script(LaunchConfig(time_limit_h=hours), ["train"], "a", "/logs"))


@pytest.mark.parametrize("folder", ["/a\nb", "/a\\b"])
def test_a_path_that_slurm_cannot_write_its_log_to_is_an_error(folder: str) -> None:
    with pytest.raises(UsageError, match="line break or a backslash"):
        slurm_script(LaunchConfig(), ["train"], "a", folder)


def started(standins: Any) -> subprocess.Popen[str]:
    standins.train_long()
    path = standins.folder / "job"
    path.write_text(slurm_script(LaunchConfig(), ["train"], "a", "/logs"))
    job = subprocess.Popen(["bash", path], env=standins.environment(**JOB), stdout=subprocess.PIPE, text=True)
    standins.wait_for("torchrun")
    return job


def test_ahead_of_the_time_limit_training_is_told_to_stop_and_the_job_is_queued_again(standins: Any) -> None:
    job = started(standins)
    job.send_signal(signal.SIGUSR1)
    shown, _ = job.communicate(timeout=60)
    assert job.returncode == 0
    assert standins.calls("scancel")[0]["words"] == ["--signal=TERM", JOB["SLURM_JOB_ID"]]
    assert standins.calls("torchrun")[-1]["signal"] == signal.SIGTERM
    assert standins.calls("scontrol")[-1]["words"] == ["requeue", JOB["SLURM_JOB_ID"]]
    assert "queued again" in shown


@pytest.mark.parametrize("status", ["0", "3", "138"])
def test_a_job_that_ends_by_itself_ends_as_training_did_and_is_not_queued_again(standins: Any, status: str) -> None:
    done = standins.run(slurm_script(LaunchConfig(), ["train"], "a", "/logs"), **JOB, TORCHRUN_STATUS=status)
    assert done.returncode == int(status)
    assert [call["words"][0] for call in standins.calls("scontrol")] == ["show"]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Slurm of one node, this machine, for these tests alone: the environment in which its commands reach it."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    found = {tool: shutil.which(tool, path=path) for tool in TOOLS}
    if missing := [tool for tool, where in found.items() if where is None]:
        pytest.skip(f"Slurm is not installed here: no {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("slurm")
    controller, node = free_ports(2)
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    (folder / "key").write_bytes(os.urandom(64))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(
        f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\n"
        f"AuthType=auth/munge\nAuthInfo=socket={folder}/munge\nCredType=cred/munge\n"
        f"SlurmctldPort={controller}\nSlurmdPort={node}\nStateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n"
        f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid\n"
        f"SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log\n"
        "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\nReturnToService=2\nKillWait=5\n"
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN\nPartitionName=all Nodes={host} Default=YES State=UP\n"
    )
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [f"--{name}={folder}/{file}" for name, file in (("key-file", "key"), ("socket", "munge"), ("pid-file", "munge.pid"))]
    commands = [
        ["munged", "--foreground", "--force", *munge, f"--log-file={folder}/munge.log", f"--seed-file={folder}/seed"],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D"],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
            daemons.append(subprocess.Popen(command, env=environment, **quiet))
            while command[0] == "munged" and daemons[0].poll() is None and not (folder / "munge").exists():
                time.sleep(0.05)
        if not ready(environment, daemons):
            pytest.skip("Slurm is installed here and does not start")
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait()


def ready(environment: dict[str, str], daemons: list[subprocess.Popen[bytes]]) -> bool:
    for _ in range(300):
        shown = subprocess.run(["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True).stdout
        if "idle" in shown or any(daemon.poll() is not None for daemon in daemons):
            return "idle" in shown
        time.sleep(0.1)
    return False


class SlurmJob:
    """A job of the test cluster."""

    def __init__(
        self, standins: Any, cluster: dict[str, str], launch: LaunchConfig, arguments: tuple[str, ...] = ("train",)
    ) -> None:
        # Slurm's own srun, scontrol and scancel; only torchrun stands in.
        shutil.rmtree(standins.folder / "bin")
        standins.add("torchrun")
        self.environment = standins.environment(**{**cluster, "PATH": f"{standins.folder / 'bin'}:{cluster['PATH']}"})
        self.logs = standins.folder / 'it\'s 100 % "so" #1'
        self.logs.mkdir()
        script = self.logs / "job.sbatch"
        script.write_text(slurm_script(launch, arguments, "a", str(self.logs)))
        self.number = self._call("sbatch", "--parsable", str(script)).strip()

    def _call(self, *words: str) -> str:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    def signal(self, *options: str) -> None:
        self._call("scancel", *options, self.number)

    def becomes(self, state: str) -> dict[str, str]:
        """Return what Slurm says about the job once it is in a state; fail when that does not happen in a minute."""
        said = ""
        for _ in range(600):
            said = self._call("scontrol", "show", "job", self.number)
            if f"JobState={state} " in said:
                return dict(word.split("=", 1) for word in said.split() if "=" in word)
            time.sleep(0.1)
        raise AssertionError(f"the job did not become {state}:\n{said}\n{self.log()}")

    def log(self) -> str:
        path = self.logs / f"{self.number}.log"
        return path.read_text() if path.exists() else "(no log)"


def test_slurm_runs_the_script_and_writes_its_log_beside_it(
    standins: Any, cluster: dict[str, str], hostile: LaunchConfig, arguments: tuple[str, ...]
) -> None:
    slurm = SlurmConfig(partition="all", options=("--comment=it's mine",))
    more = {"nodes": 1, "device": "cpu", "time_limit_h": 1.0, "slurm": slurm}
    job = SlurmJob(standins, cluster, hostile.model_copy(update=more), arguments)
    job.becomes("COMPLETED")
    call = standins.calls("torchrun")[0]
    assert call["words"][-len(arguments) :] == list(arguments)
    host = socket.gethostname().split(".")[0]
    assert call["words"][2:4] == [f"--rdzv-endpoint={host}:{20_000 + int(job.number)}", f"--rdzv-id={job.number}"]
    assert {name: call["environment"][name] for name in hostile.environment} == hostile.environment
    assert (job.logs / f"{job.number}.log").is_file()


def test_slurm_queues_a_job_again_that_it_signalled_ahead_of_its_time_limit(standins: Any, cluster: dict[str, str]) -> None:
    standins.train_long()
    job = SlurmJob(standins, cluster, LaunchConfig(device="cpu", time_limit_h=1))
    standins.wait_for("torchrun")
    job.signal("--signal=USR1", "--batch")
    assert job.becomes("PENDING")["Restarts"] == "1"
    assert standins.calls("torchrun")[-1]["signal"] == signal.SIGTERM
    assert "queued again" in job.log()
    job.signal()


def test_a_job_that_is_cancelled_stays_cancelled(standins: Any, cluster: dict[str, str]) -> None:
    standins.train_long()
    job = SlurmJob(standins, cluster, LaunchConfig(device="cpu", time_limit_h=1))
    standins.wait_for("torchrun")
    job.signal()
    assert job.becomes("CANCELLED")["Restarts"] == "0"
    assert "queued again" not in job.log()
