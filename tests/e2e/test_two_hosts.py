"""Two hosts with addresses of their own (network namespaces joined by a virtual cable) train what one process trains."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
ADDRESSES = ("10.213.77.1", "10.213.77.2")


def ip(*arguments: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=check).returncode == 0


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two namespaces, which see each other and nothing else."""
    names = [f"pellucid-{os.getpid()}-{side}" for side in "ab"]
    cables = [f"pl{os.getpid() % 10**8}{side}" for side in "ab"]
    if os.geteuid() or shutil.which("ip") is None or not ip("netns", "add", names[0], check=False):
        pytest.skip("no right to make network namespaces here")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("link", "set", cable, "netns", name)
            inside = ("netns", "exec", name, "ip")
            ip(*inside, "addr", "add", f"{address}/24", "dev", cable)
            for device in (cable, "lo"):
                ip(*inside, "link", "set", device, "up")
        yield [f"{name}:{cable}" for name, cable in zip(names, cables, strict=True)]
    finally:
        for name in names:
            ip("netns", "del", name, check=False)


def lines(run: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (run / "pretrain" / "metrics.jsonl").read_text().splitlines()) if "loss" in line]


@pytest.mark.slow
def test_two_hosts_train_what_one_process_trains(hosts: list[str], finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / finished_run.name
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns("pretrain", "scores", "exports", "report"))
    agents = []
    for number, (host, address) in enumerate(zip(hosts, ADDRESSES, strict=True)):
        name, cable = host.split(":")
        call = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={ADDRESSES[0]}:29400", "--rdzv-id=two", f"--local-addr={address}"]
        host_of_store = [f"--rdzv-conf=is_host={'true' if number == 0 else 'false'}"]
        train = ["-m", "pellucid", "train", str(RECIPE), "--runs", str(run.parent), "--set", "train.0.parallel.shard=full"]
        environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
        environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": cable}
        agents.append(
            subprocess.Popen([*call, *meeting, *host_of_store, *train], env=environment, stderr=subprocess.PIPE, text=True)
        )
    errors = [agent.communicate(timeout=240)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(errors)[-4000:]
    assert json.loads((run / "pretrain" / "metrics.jsonl").read_text().splitlines()[0])["ranks"] == 2
    assert [line["loss"] for line in lines(run)] == pytest.approx([line["loss"] for line in lines(finished_run)], abs=1e-5)
