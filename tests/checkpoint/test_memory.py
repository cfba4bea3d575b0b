"""Ranks are threads with a gloo group, hosts are folders; what a kill leaves is what lies there when nobody says goodbye."""

import json
import resource
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.memory import MemorySnapshots, Seat
from pellucid.core.errors import PellucidWarning

Together = Callable[[int, Callable[[int, Any], Any]], list[Any]]


def state_of(rank: int, step: int) -> dict[str, Any]:
    weight = torch.arange(4.0 + rank) + 100 * rank + step  # parts differ in size
    return {
        "model": {"w": weight, "half": weight.bfloat16()[:2], "nothing": torch.empty(0, 3)},
        "optimizer": {"w": {"step": torch.tensor(float(step)), "exp_avg": weight * 2}},
        "random": {"torch": torch.arange(16, dtype=torch.uint8)},
        "progress": {"step": step, "nats": {"law": 0.1 + step}, "skipped": [{"step": 1, "sequences": [0, 3]}]},
    }


def targets(_section: str, _name: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


class Hosts:
    """`size` ranks, `local` of them on each host; `order` says which host has the first ranks, which the next."""

    def __init__(self, root: Path, together: Together, size: int = 4, local: int = 2, *, alike: bool = False) -> None:
        self.root, self.together, self.size, self.local, self.alike = root, together, size, local, alike
        self.order = list(range(size // local))
        self.log = root / "metrics.jsonl"
        self.log_until(100)
        for host in self.order:
            self.ram(host).parent.mkdir(exist_ok=True)

    def ram(self, host: int) -> Path:
        return self.root / f"host-{host}" / "pellucid-run"

    def log_until(self, step: int) -> None:
        self.log.write_text("".join(f'{{"step": {n}}}\n' for n in range(1, step + 1)))

    def each(self, action: Callable[[MemorySnapshots, int], Any], identity: str = "me") -> list[Any]:
        def run(rank: int, group: Any) -> Any:
            seat = Seat(rank, self.size, rank % self.local, self.local)
            folder = self.ram(self.order[rank // self.local])
            memory = MemorySnapshots(folder, self.log, identity, seat, group, alike=self.alike)
            try:
                return action(memory, rank)
            finally:
                memory.close(remove=False)

        return self.together(self.size, run)

    def keep(self, *steps: int) -> None:
        def write(memory: MemorySnapshots, rank: int) -> None:
            for step in steps:
                state = state_of(0 if self.alike else rank, step)
                memory.write(step, state)
                state["model"]["w"].zero_()  # the next step begins
            memory.wait()

        self.each(write)

    def found(self, after: int = 0, identity: str = "me") -> int | None:
        """The step that all ranks find, each with its own state of it."""

        def look(memory: MemorySnapshots, rank: int) -> int | None:
            snapshot = memory.newest(after)
            if snapshot is None:
                return None
            assert same(snapshot.state(targets), state_of(0 if self.alike else rank, snapshot.step))
            return snapshot.step

        [step] = set(self.each(look, identity))
        return step

    def spoil(self, host: int, part: int, step: int) -> None:
        [manifest] = [
            file for file in self.ram(host).rglob(f"part-{part:05d}/*.json") if json.loads(file.read_text())["step"] == step
        ]
        data = manifest.with_suffix(".safetensors").read_bytes()
        manifest.with_suffix(".safetensors").write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])


def test_a_host_that_is_gone_is_made_up_for_by_the_others_and_places_may_change(tmp_path: Path, together: Together) -> None:
    hosts = Hosts(tmp_path, together)
    assert hosts.found() is None
    hosts.keep(2, 4, 6)
    assert hosts.found() == 6
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in [hosts.ram(0), *hosts.ram(0).rglob("*")] if folder.is_dir()} == {
        0o700
    }
    hosts.order = [1, 0]
    assert hosts.found() == 6
    shutil.rmtree(hosts.ram(1))
    assert hosts.found() == 6
    hosts.order = [0, 1]
    assert hosts.found() == 6

    def go_on(memory: MemorySnapshots, rank: int) -> None:
        assert memory.newest(0) is not None
        memory.forget(keep=6)
        memory.write(6, state_of(rank, 6))
        memory.wait()

    hosts.each(go_on)
    shutil.rmtree(hosts.ram(0))
    assert hosts.found() == 6, "what was lost is there twice again"
    shutil.rmtree(hosts.ram(1))
    assert hosts.found() is None


def test_only_what_belongs_to_this_training_and_is_newer_than_the_disk_is_taken(tmp_path: Path, together: Together) -> None:
    hosts = Hosts(tmp_path, together)
    hosts.keep(2, 4)
    assert [hosts.found(after) for after in (0, 3, 4)] == [4, 4, None]
    assert hosts.found(identity="another recipe") is None
    hosts.log_until(3)
    assert hosts.found() == 2, "the log has lost a line: the step is made again"
    hosts.log.unlink()
    assert hosts.found() is None, "the stage's folder was set aside"
    hosts.log_until(9)
    assert Hosts(tmp_path, together, size=2).found() is None, "two ranks cannot use what four have left"
    hosts.each(lambda memory, _: memory.forget())
    assert hosts.found() is None


def test_what_is_damaged_is_passed_over_for_its_copy_and_then_for_the_older_step(tmp_path: Path, together: Together) -> None:
    hosts = Hosts(tmp_path, together)
    hosts.keep(2, 4)
    hosts.spoil(0, 1, 4)
    with pytest.warns(PellucidWarning, match="part-00001.*damaged and passed over"):
        assert hosts.found() == 4
    hosts.spoil(1, 1, 4)
    with pytest.warns(PellucidWarning, match="damaged"):
        assert hosts.found() == 2
    hosts.spoil(0, 3, 2)
    hosts.spoil(1, 3, 2)
    with pytest.warns(PellucidWarning, match="damaged"):
        assert hosts.found() is None


def test_a_kill_between_any_two_files_of_a_snapshot_leaves_the_one_before(tmp_path: Path, together: Together) -> None:
    """Manifests appear in any order over the ranks; without the own and the copied one of any part, the older step is taken."""
    hosts = Hosts(tmp_path, together)
    hosts.keep(2, 4)
    newest = [file for file in tmp_path.rglob("slot-*.json") if json.loads(file.read_text())["step"] == 4]
    assert len(newest) == 8
    for manifest in sorted(newest):
        part = manifest.parent.name
        others = {file for file in newest if file.parent.name == part} - {manifest}
        kept = {file: file.read_bytes() for file in newest}
        manifest.unlink()
        assert hosts.found() == 4
        for other in others:
            other.unlink()
        assert hosts.found() == 2
        for file, data in kept.items():
            file.write_bytes(data)
    assert hosts.found() == 4


def test_what_all_have_alike_is_kept_once_on_each_host(tmp_path: Path, together: Together) -> None:
    hosts = Hosts(tmp_path, together, alike=True)
    hosts.keep(2, 4)
    assert [len(list(hosts.ram(host).rglob("*.safetensors"))) for host in (0, 1)] == [2, 2]
    assert hosts.found() == 4
    shutil.rmtree(hosts.ram(0))
    assert hosts.found() == 4
    hosts.spoil(1, 0, 4)
    with pytest.warns(PellucidWarning, match="damaged"):
        assert hosts.found() == 2


def test_on_one_host_the_next_rank_has_the_copy(tmp_path: Path, together: Together) -> None:
    hosts = Hosts(tmp_path, together, size=3, local=3)
    hosts.keep(5)
    parts = {holder.name: sorted(part.name for part in holder.iterdir()) for holder in hosts.ram(0).iterdir()}
    assert parts == {
        "holder-00000": ["part-00000", "part-00002"],
        "holder-00001": ["part-00000", "part-00001"],
        "holder-00002": ["part-00001", "part-00002"],
    }
    shutil.rmtree(hosts.ram(0) / "holder-00001")
    assert hosts.found() == 5


def alone(folder: Path, log: Path) -> MemorySnapshots:
    log.write_text('{"step": 9}\n')
    return MemorySnapshots(folder, log, "me", Seat(), None)


def test_alone_a_process_finds_what_its_predecessor_kept_and_leaves_nothing_when_it_ends_well(tmp_path: Path) -> None:
    folder, log = tmp_path / "ram", tmp_path / "metrics.jsonl"
    memory = alone(folder, log)
    for step in (1, 2, 3):
        memory.write(step, state_of(0, step))
    memory.close(remove=False)
    after = alone(folder, log)
    snapshot = after.newest(0)
    assert snapshot is not None and same(snapshot.state(targets), state_of(0, 3))
    # Ranks and parts that this layout does not have are kept until it has a snapshot of its own.
    for stray in (folder / "holder-00007" / "part-00000", folder / "holder-00000" / "part-00004"):
        shutil.copytree(folder / "holder-00000" / "part-00000", stray)
    after.forget(keep=3)
    assert len(list(folder.rglob("slot-*.json"))) == 3
    after.write(3, state_of(0, 3))
    after.wait()
    assert [part.parent.name for part in folder.rglob("part-*")] == ["holder-00000"]
    shutil.rmtree(folder)  # a user's log-out may clear /dev/shm while a run goes on
    after.write(4, state_of(0, 4))
    after.write(5, state_of(0, 5))
    after.wait()
    found = alone(folder, log).newest(0)
    assert found is not None and found.step == 5
    after.close(remove=True)
    assert not folder.exists()


def test_too_little_room_is_a_warning_and_no_error(tmp_path: Path) -> None:
    memory = alone(tmp_path / "ram", tmp_path / "metrics.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        memory.write(1, state_of(0, 1))
        with pytest.warns(
            PellucidWarning, match=r"no snapshots are kept.*bytes asked for.*PELLUCID_MEMORY_DIR.*memory_every_steps to 0"
        ):
            memory.write(2, state_of(0, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    memory.write(3, state_of(0, 3))
    assert memory.newest(0) is None
    assert not (tmp_path / "ram").exists(), "what was reserved is given back at once"
    memory.close(remove=True)


@pytest.mark.parametrize(("place", "why"), [("open", "only this user may read"), ("absent/ram", "No such file or directory")])
def test_a_folder_that_others_may_enter_or_that_cannot_be_made_is_a_warning(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    memory = alone(tmp_path / place, tmp_path / "metrics.jsonl")
    assert memory.newest(0) is None
    memory.forget()
    memory.write(1, state_of(0, 1))
    with pytest.warns(PellucidWarning, match=why):
        memory.close(remove=True)
    assert (tmp_path / "open").is_dir()
