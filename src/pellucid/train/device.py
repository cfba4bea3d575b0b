"""Where training runs: device, precision, determinism, memory, and the peak that MFU is measured against."""

import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from pellucid.core.errors import UsageError
from pellucid.kernels.linear import product
from pellucid.train.allocation import forget_peak, mapped_bytes

__all__ = ["Device", "DeviceKind", "deterministic", "pick_device", "pick_kind"]

DeviceKind = Literal["auto", "cpu", "cuda"]

# Time for finding the peak: long enough to meet a moment in which a shared machine is quiet.
_PEAK_S = 0.6


@dataclass(frozen=True)
class Device:
    """The device and the type that matrix products are computed in. Weights and moments are float32 in either case."""

    device: torch.device
    precision: Literal["fp32", "bf16"]

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass: matrix products in bf16 where that was chosen."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Surround a backward pass: a GPU's fused attention is deterministic only where its warning would be an error."""
        strict = self.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
        with _deterministic_algorithms(warn_only=False) if strict else nullcontext():
            yield

    def begin_counting_memory(self) -> int | None:
        """Let `memory_bytes` tell of what comes from now on, and return what is in use already; None where that cannot be done."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        return forget_peak()

    def memory_bytes(self) -> int:
        """Return the most memory used so far: allocated by torch on a GPU, resident in the process otherwise."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def mapped_bytes(self) -> int:
        """Return how much of a process's memory now are pages of files, which it can do without; 0 on a GPU, which has none."""
        return 0 if self.device.type == "cuda" else mapped_bytes()

    def peak_flops(self) -> tuple[float, str]:
        """Return the peak FLOP/s of this precision and where the figure comes from: a table, or a product of matrices timed now."""
        if self.device.type == "cuda" and self.precision == "bf16":
            from pellucid.plan.gpus import gpu_named  # here: nothing else of training needs a reader of YAML

            known = gpu_named(torch.cuda.get_device_name(self.device))
            if known is not None:
                return known.peak()
        return self.measured_flops()

    def measured_flops(self) -> tuple[float, str]:
        """Return the FLOP/s of the fastest of many products of matrices, timed now, and what was timed."""
        # Small products are over before another process takes the core, large ones amortise what surrounds them.
        sizes = (8192,) if self.device.type == "cuda" else (512, 1024)
        flops = max(self._measure_matmul(size, _PEAK_S / len(sizes)) for size in sizes)
        shown = " and ".join(f"{size}x{size}" for size in sizes)
        return flops, f"fastest of many {shown} matrix products in {self.precision}, measured at the start"

    def quick_matmul_flops(self) -> float:
        """Return what a few products reach now, in some hundredths of a second: a lower bound of the peak."""
        return self._measure_matmul(512, 0.0)

    def _measure_matmul(self, size: int, seconds: float) -> float:
        """Return the FLOP/s of the fastest product of as many as fit into so many seconds, five of each kind at least."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        a, b = (torch.ones(size, size, dtype=dtype, device=self.device) for _ in range(2))
        fastest = float("inf")
        # On a CPU the decoder's own products may be faster than torch.mm: a peak is the best of what there is.
        for multiply in (torch.mm, product):
            end, tries = time.perf_counter() + seconds / 2, 0
            while tries < 5 or time.perf_counter() < end:
                self.synchronize()
                started = time.perf_counter()
                multiply(a, b)
                self.synchronize()
                fastest = min(fastest, time.perf_counter() - started)
                tries += 1
        return 2 * size**3 / fastest

    def mark(self) -> Any:
        """Return this moment on the device's own clock: an event of the current stream on a GPU, else the processor's time."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self, spans: Iterable[tuple[Any, Any]]) -> float:
        """Return the seconds between pairs of marks, added up. The device must have passed them: the caller synchronises."""
        if self.device.type != "cuda":
            return float(sum(end - begin for begin, end in spans))
        return float(sum(begin.elapsed_time(end) for begin, end in spans)) / 1000

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def pick_kind(kind: DeviceKind) -> Literal["cpu", "cuda"]:
    """Return what a kind of device means here: `auto` is the GPU when there is one. Nothing is opened on it.

    Raises `UsageError` for a GPU that torch does not see.
    """
    seen = torch.cuda.is_available()
    if kind == "cuda" and not seen:
        raise UsageError("--device cuda: torch sees no GPU here; take --device cpu, or install torch with CUDA")
    return "cuda" if seen and kind != "cpu" else "cpu"


def pick_device(precision: Literal["auto", "fp32", "bf16"], kind: DeviceKind = "auto") -> Device:
    """Return the GPU when there is one, otherwise the CPU; `auto` is bf16 on the first and fp32 on the second.

    `kind` asks for one of them, as in `pick_kind`.
    """
    found = pick_kind(kind)
    device = torch.device(found, torch.cuda.current_device()) if found == "cuda" else torch.device(found)
    if precision == "auto":
        precision = "bf16" if found == "cuda" else "fp32"
    return Device(device, precision)


@contextmanager
def deterministic() -> Iterator[None]:
    """Make torch choose algorithms whose results do not vary from run to run, and warn where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    # Filling fresh memory with NaN finds reads of it at a price in time; training has none.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with _deterministic_algorithms(warn_only=True):
            yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


@contextmanager
def _deterministic_algorithms(*, warn_only: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
