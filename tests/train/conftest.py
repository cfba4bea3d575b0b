"""A training stage of a second: a decoder of a few thousand weights on the bytes of the licence, as tokens."""

import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pellucid.batches.open import open_order
from pellucid.batches.order import DataOrder
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import CheckpointConfig, OptimizerConfig, ScheduleConfig, TrainStageConfig
from pellucid.train.world import World

TEXT = (Path(__file__).parents[2] / "LICENSE").read_bytes()
MODEL = ModelConfig(
    vocab_tokens=256, context_tokens=32, layers=2, hidden=32, heads=2, kv_heads=1, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.5, qkv_bias=True, tied_head=False,
)  # fmt: skip


class ByteStream:
    """A source in memory whose tokens are the bytes of a text and whose documents are its lines, each with its end mark."""

    def __init__(self, text: bytes) -> None:
        self._tokens_N = np.frombuffer(text, dtype=np.uint8).astype(np.uint16)
        self.tokens = len(self._tokens_N)
        ends = np.flatnonzero(self._tokens_N == ord("\n")) + 1
        self.document_starts = np.unique(np.concatenate(([0], ends, [self.tokens])))

    def read(self, start: int, count: int) -> NDArray[Any]:
        return self._tokens_N[start : start + count]

    def will_read(self, start: int, count: int) -> None:
        assert start >= 0 and start + count <= self.tokens

    def metadata(self, documents: list[int]) -> list[dict[str, Any]]:
        return [{} for _ in documents]

    @property
    def document_languages(self) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        """Lines speak two languages in turn."""
        return np.arange(len(self.document_starts) - 1, dtype=np.int16) % 2, ("de", "en")


class Tiny:
    """Makes the parts of a tiny stage; what a test cares about it says."""

    model = MODEL

    def stage(self, steps: int = 12, **changes: Any) -> TrainStageConfig:
        values: dict[str, Any] = {
            "name": "pretrain",
            "length_tokens": steps * 4 * 32,
            "batch_tokens": 4 * 32,
            "seq_tokens": 32,
            "micro_seqs": 2,
            "optimizer": OptimizerConfig(kind="adamw"),
            "schedule": ScheduleConfig(peak_lr=3e-3, warmup_steps=3, cooldown_steps=4),
            "checkpoint": CheckpointConfig(every_steps=5),
        }
        return TrainStageConfig(**{**values, **changes})

    def order(self, seed: int = 1, attention: Any = "causal") -> DataOrder:
        half = TEXT.index(b"\n", len(TEXT) // 2) + 1
        streams = {"law": ByteStream(TEXT[:half]), "appendix": ByteStream(TEXT[half:])}
        return DataOrder(streams, {"law": 3, "appendix": 1}, 32, seed, attention)

    def order_of(self, stage: TrainStageConfig, seed: int = 1) -> DataOrder:
        """The order that a stage's own keys ask for."""
        plain = self.order()
        return open_order(dict(zip(plain.source_names, plain.streams, strict=True)), {"law": 3, "appendix": 1}, stage, seed)


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Group:
    """So many ranks that wait for work: most of the time of a short run would go into starting its processes."""

    def __init__(self, size: int, folder: Path) -> None:
        everyone = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
        self._errors = [folder / f"rank-{rank}" for rank in range(size)]
        self._processes: list[subprocess.Popen[str]] = []
        for rank, errors in enumerate(self._errors):
            with errors.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("ranks.py"))],
                    env=os.environ | everyone | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                )
            self._processes.append(process)

    def work(self, jobs: tuple[dict[str, Any], ...]) -> list[Any]:
        """Return what the first rank says; a rank that fails ends the group and is an error with what each has said."""
        try:
            for process in self._processes:
                assert process.stdin is not None
                process.stdin.write(json.dumps(jobs) + "\n")
                process.stdin.flush()
            everyone = [json.loads(process.stdout.readline()) for process in self._processes if process.stdout]
            return list(everyone[0])
        except (BrokenPipeError, json.JSONDecodeError):
            for process in self._processes:
                process.kill()
            raise AssertionError("\n".join(errors.read_text() for errors in self._errors)) from None

    def end(self) -> None:
        for process in self._processes:  # all of them before any is waited for: they leave together
            assert process.stdin is not None
            process.stdin.close()
        assert all(process.wait() == 0 for process in self._processes), [errors.read_text() for errors in self._errors]


class Ranks:
    """Trains tiny stages in several processes, or in this one as the only rank (see ranks.py)."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._folders, self._groups = tmp_path_factory, dict[int, Group]()

    def __call__(self, size: int, *jobs: dict[str, Any], anew: bool = False) -> list[Any]:
        """Do the jobs one after the other in `size` processes that may have done others before, or in new ones."""
        if size == 1:
            return self._alone(jobs)
        group = None if anew else self._groups.pop(size, None)
        group = group or Group(size, self._folders.mktemp("ranks"))
        outcomes = group.work(jobs)
        if anew:
            group.end()
        else:
            self._groups[size] = group
        return outcomes

    def end(self) -> None:
        while self._groups:
            self._groups.popitem()[1].end()

    @staticmethod
    def _alone(jobs: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        run = runpy.run_path(str(Path(__file__).with_name("ranks.py")))["run"]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as each of several has: exact results depend on it
        try:
            return [run(World(), job, Tiny()) for job in jobs]
        finally:
            torch.set_num_threads(threads)

    @staticmethod
    def job(out: Path, steps: int = 6, **changes: Any) -> dict[str, Any]:
        """A run of `steps` steps of 8 sequences in micro-batches of 2; what ranks.py does to it is the run's own."""
        known = ("model", "signal_at", "spoil_at", "pause_at", "slow", "silence_s", "kill")
        own = {name: changes.pop(name) for name in known if name in changes}
        return {"out": str(out), "steps": steps, "changes": {"length_tokens": steps * 256, "batch_tokens": 256, **changes}, **own}


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Files whose tests ask for it are run by one process (see TOGETHER in tests/conftest.py), so that ranks are started once."""
    ranks = Ranks(tmp_path_factory)
    yield ranks
    ranks.end()
