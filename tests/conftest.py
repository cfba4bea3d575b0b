"""One finished smoke run, shared by all tests that only read; tests that change something take a copy."""

import fcntl
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pellucid.cli.main import main

ROOT = Path(__file__).parents[1]

# The same examples on every machine; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("same")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished `pocket-smoke` run; made once, also when tests run in several processes."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    runs = shared / "smoke-runs"
    runs.mkdir(exist_ok=True)
    with (shared / "smoke-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (runs / "done").exists():
            assert main(["run", str(ROOT / "recipes" / "pocket-smoke.yaml"), "--runs", str(runs)]) == 0
            (runs / "done").touch()
    return runs / "pocket-smoke"


@pytest.fixture
def storage_watch() -> type:
    """A context whose `live_bytes()` counts every storage that came up inside and still exists, whoever holds it.

    Storages of `known` tensors (weights, inputs) are left out. `peak_bytes` is the largest count after any operator.
    """
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class StorageWatch(TorchDispatchMode):
        def __init__(self, known: list[torch.Tensor]) -> None:
            super().__init__()
            self._known = {tensor.untyped_storage()._cdata for tensor in known}
            self._found: dict[int, tuple[StorageWeakRef, int]] = {}
            self.operators: Counter[str] = Counter()
            self.peak_bytes = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.operators[str(func)] += 1
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._known:
                    storage = tensor.untyped_storage()
                    self._found[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            self.peak_bytes = max(self.peak_bytes, self.live_bytes())
            return out

        def live_bytes(self) -> int:
            self._found = {key: (ref, size) for key, (ref, size) in self._found.items() if not ref.expired()}
            return sum(size for _, size in self._found.values())

    return StorageWatch


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage. Its parent is the `--runs` folder."""
    copy = tmp_path / "runs" / finished_run.name
    shutil.copytree(finished_run, copy)
    return copy
