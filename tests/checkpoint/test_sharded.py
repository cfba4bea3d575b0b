"""Checkpoints that two processes write together: read by one, read by two, found out when damaged."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pellucid.checkpoint.files import load_checkpoint, read_section
from pellucid.checkpoint.retention import latest_good
from pellucid.checkpoint.sharded import is_first, say_to_all, spread
from pellucid.core.errors import ArtifactError, DiskFullError, PellucidWarning

TWO_RANKS = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from pellucid.checkpoint import files, sharded
from pellucid.core.errors import DiskFullError

root = Path(sys.argv[1])
dist.init_process_group("gloo")
rank, group = dist.get_rank(), dist.new_group(backend="gloo")
mesh = init_device_mesh("cpu", (2,))
whole = torch.arange(20.0).view(5, 4)
part = distribute_tensor(whole, mesh, [Shard(0)])
state = {
    "model": {
        "a.weight": part,
        "b.weight": distribute_tensor(whole + 1, mesh, [Replicate()]),
        "bias": distribute_tensor(whole[0], mesh, [Shard(0)]),
    },
    "optimizer": {"a.weight": {"exp_avg": part * 2, "step": torch.tensor(3.0)}},
    "progress": {"tokens": 2**40},
}
path = files.save_checkpoint(root, 1, state, meta={"seed": 7}, group=group)

def targets(section, name, shape, dtype):
    return torch.empty(shape) if name.endswith("step") else distribute_tensor(torch.zeros(shape), mesh, [Shard(0)])

for place in (path, root / "alone" / "step-00000001"):
    loaded, meta = files.load_checkpoint(place, targets=targets)
    assert meta == {"seed": 7} and loaded["progress"] == {"tokens": 2**40}
    assert loaded["model"]["a.weight"].to_local().shape == ((3, 4), (2, 4))[rank]
    assert torch.equal(loaded["model"]["a.weight"].full_tensor(), whole)
    assert torch.equal(loaded["model"]["b.weight"].full_tensor(), whole + 1)
    assert torch.equal(loaded["optimizer"]["a.weight"]["exp_avg"].full_tensor(), whole * 2)
    assert loaded["optimizer"]["a.weight"]["step"] == 3

def fail(*_, **__):
    raise OSError(28, "No space left on device")

# One rank cannot write its shards; then the first cannot write what is written once.
for broken, module, name in ((1, sharded.HuggingFaceStorageWriter, "write_data"), (0, files, "write_json")):
    kept = getattr(module, name)
    if rank == broken:
        setattr(module, name, fail)
    try:
        files.save_checkpoint(root, 2, state, meta={"seed": 7}, group=group)
    except DiskFullError:
        pass
    else:
        raise AssertionError("a full disk was not noticed")
    setattr(module, name, kept)
    dist.barrier()  # the first rank clears away what the others may still see
assert [file.name for file in sorted(root.glob("*step*"))] == ["step-00000001"]
dist.destroy_process_group()
"""


def state_alone() -> dict[str, object]:
    whole = torch.arange(20.0).view(5, 4)
    return {
        "model": {"a.weight": whole, "b.weight": whole + 1, "bias": whole[0]},
        "optimizer": {"a.weight": {"exp_avg": whole * 2, "step": torch.tensor(3.0)}},
        "progress": {"tokens": 2**40},
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pellucid.checkpoint.files import save_checkpoint

    root = tmp_path_factory.mktemp("sharded")
    save_checkpoint(root / "alone", 1, state_alone(), meta={"seed": 7})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    everyone = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_RANKS, str(root)], env=everyone | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return root / "step-00000001"


def test_what_two_ranks_wrote_one_process_reads_whole(saved: Path) -> None:
    state, meta = load_checkpoint(saved)
    expected, _ = load_checkpoint(saved.parent / "alone" / saved.name)
    assert meta == {"seed": 7}
    assert state["progress"] == expected["progress"]
    for section in ("model", "optimizer"):
        for name, tensor in read_section(saved, section)[0].items():
            assert torch.equal(tensor, read_section(saved.parent / "alone" / saved.name, section)[0][name])
    assert {file.suffix for file in saved.rglob("*") if file.is_file()} == {".safetensors", ".json"}


def test_a_flipped_bit_in_any_shard_is_found(saved: Path) -> None:
    files = sorted(saved.rglob("*.safetensors"))
    assert len(files) >= 4
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        with pytest.raises(ArtifactError, match=file.name):
            load_checkpoint(saved)
        with pytest.warns(PellucidWarning, match=file.name):
            assert latest_good(saved.parent) is None
        file.write_bytes(data)
    assert latest_good(saved.parent) == saved


@pytest.mark.parametrize("left", [0, 9, -1])
def test_a_shard_cut_short_is_an_error_also_when_nothing_is_verified(saved: Path, left: int) -> None:
    file = sorted((saved / "model").iterdir())[0]
    data = file.read_bytes()
    file.write_bytes(data[:left])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_checkpoint(saved, verify=False)
    file.write_bytes(data)


def test_alone_everything_is_done_here() -> None:
    done: list[int] = []
    say_to_all(None, lambda: done.append(1))
    assert done == [1] and is_first(None)

    def fail() -> None:
        raise DiskFullError("full")

    with pytest.raises(DiskFullError):
        say_to_all(None, fail)
    target = torch.zeros(2)
    assert spread(torch.ones(2), target) is target and target.tolist() == [1, 1]
