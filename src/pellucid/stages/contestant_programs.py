"""How each program of the throughput table is opened and asked to go on. Nothing heavy is imported until it is opened.

So the process of one program holds the packages of that program and no others'.
"""

import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pellucid.core.errors import PellucidError

if TYPE_CHECKING:
    from pellucid.generate.engine import Engine

__all__ = [
    "OURS",
    "Answer",
    "Contestant",
    "Machine",
    "Opened",
    "Program",
    "gpu_peak_memory_bytes",
    "open_program",
    "peak_memory_bytes",
]

Program = Literal["Pellucid", "transformers", "llama.cpp", "llama.cpp, served", "OpenVINO", "MLX"]
OURS: tuple[Program, ...] = ("Pellucid", "llama.cpp, served")
"""Those that run as `pellucid serve` does, with its settings."""

Answer = Callable[[Sequence[Sequence[int]], int], tuple[list[list[float]], int]]
"""Prompts of one length and how many tokens to add to each → when each token of each was there, in seconds from the call; and how
many tokens of prompts were reused."""


@dataclass(frozen=True)
class Contestant:
    """One program with one model's weights. `missing`: why it cannot run; then there is no path. `bytes`: of its files."""

    target: str
    program: Program
    weights: str
    path: Path | None
    missing: str | None = None
    bytes: int | None = None

    @property
    def name(self) -> str:
        """What tells it apart from the others of its target."""
        return f"{self.program} {self.weights}".strip()


@dataclass(frozen=True)
class Machine:
    """What every contestant gets: threads, cores to run on (None: any), and room for so many sequences of such a length.

    `device` is where torch computes, for our engine and for transformers.
    """

    threads: int
    cores: tuple[int, ...] | None
    sequences: int
    context_tokens: int
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True)
class Opened:
    """What a contestant says of itself. Memory is that of its process: `before_bytes` with its packages, before the model.

    `device` is where it computes, as it names it, and `variables` what its process was told through the environment.
    """

    version: str
    device: str
    load_s: float
    before_bytes: int
    settings: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held in RAM so far, packages and code included."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage says of a process on Linux may be its parent's, from before it became a program of its own.
        lines = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(next(lines).split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def gpu_peak_memory_bytes() -> int:
    """Return the most memory that torch has held on GPUs; 0 without torch or GPU."""
    torch = sys.modules.get("torch")
    return 0 if torch is None or not torch.cuda.is_available() else int(torch.cuda.max_memory_allocated())


def open_program(contestant: Contestant, machine: Machine) -> tuple[Answer, Opened]:
    """Open a contestant's files in its program, in this process. Packages are imported before its memory is first read.

    Raises as the runtimes and `open_served` do.
    """
    assert contestant.path is not None
    if contestant.program in OURS:
        return _open_engine(contestant.path, machine)
    if contestant.program == "llama.cpp":
        return _open_llama(contestant.path, machine)
    if contestant.program == "OpenVINO":
        from pellucid.export.no_telemetry import without_openvino_telemetry
        from pellucid.export.runtimes.openvino import OpenVinoRuntime

        without_openvino_telemetry()
        _import("openvino", "transformers")
        settings = {"INFERENCE_NUM_THREADS": machine.threads, "PERFORMANCE_HINT": "LATENCY"}
        before = peak_memory_bytes()
        runtime: Any = OpenVinoRuntime(contestant.path, settings)
        device = "cpu"
    elif contestant.program == "MLX":
        from pellucid.export.runtimes.mlx import MlxRuntime

        _import("mlx.core", "mlx_lm")
        settings, before = {}, peak_memory_bytes()
        runtime = MlxRuntime(contestant.path)
        device = runtime.device
    else:
        import torch

        from pellucid.export.runtimes.hf import TransformersRuntime

        _import("transformers")
        torch.set_num_threads(machine.threads)
        settings, before = {}, peak_memory_bytes()
        runtime = TransformersRuntime(contestant.path, dtype="auto", device=machine.device)
        device = runtime.device

    def answer(prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[list[list[float]], int]:
        return [runtime.steps(prompts, new_tokens).at_s] * len(prompts), 0

    return answer, Opened(runtime.version, device, runtime.load_s, before, settings)


def _open_llama(path: Path, machine: Machine) -> tuple[Answer, Opened]:
    from pellucid.export.runtimes.llama_library import LlamaLibrary
    from pellucid.serve.llama_http import llama_device

    _import("xllamacpp")
    before, started = peak_memory_bytes(), time.perf_counter()
    library = LlamaLibrary(path)
    load_s = time.perf_counter() - started

    def answer(prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[list[list[float]], int]:
        return [library.steps(prompts, new_tokens, machine.threads).at_s] * len(prompts), 0

    version = f"xllamacpp {metadata.version('xllamacpp')}"
    return answer, Opened(version, llama_device(), load_s, before, {"keys_and_values": "float16"})


def _open_engine(path: Path, machine: Machine) -> tuple[Answer, Opened]:
    from pellucid.stages.served import EngineShape, open_served

    before, started = peak_memory_bytes(), time.perf_counter()
    shape = EngineShape(machine.context_tokens, machine.sequences, machine.threads, device=machine.device)
    engine = open_served(path, shape).engine
    load_s = time.perf_counter() - started
    facts = {name: engine.identity[name] for name in ("dtype", "keys_and_values") if name in engine.identity}

    def answer(prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[list[list[float]], int]:
        return _through_engine(engine, prompts, new_tokens)

    return answer, Opened(str(engine.identity["version"]), str(engine.identity["device"]), load_s, before, facts)


def _through_engine(engine: "Engine", prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[list[list[float]], int]:
    """Submit all prompts at once; return when each token of each came, and how many tokens of prompts were not read again."""
    from pellucid.generate.engine import Event, Finished, GenerationRequest, Token
    from pellucid.generate.sampling import Sampling

    at_s: list[list[float]] = [[] for _ in prompts]
    ended: list[Finished] = []
    over = threading.Event()

    def hear(sequence: int, event: Event) -> None:
        if isinstance(event, Token):
            at_s[sequence].append(time.perf_counter() - started)
        elif isinstance(event, Finished):
            ended.append(event)
            if len(ended) == len(prompts):
                over.set()

    started = time.perf_counter()
    for number, ids in enumerate(prompts):
        request = GenerationRequest(tuple(ids), new_tokens, Sampling(temperature=0))
        engine.submit(request, lambda event, number=number: hear(number, event))  # type: ignore[misc]
    over.wait()
    for one in ended:
        if one.new_tokens != new_tokens:
            raise PellucidError(f"it ended after {one.new_tokens} of {new_tokens} tokens: {one.error or one.reason}")
    return at_s, sum(one.reused_tokens for one in ended)


def _import(*names: str) -> None:
    """Import packages if they are there; opening says what is missing."""
    for name in names:
        with suppress(ImportError):
            import_module(name)
