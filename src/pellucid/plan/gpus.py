"""GPUs by the name that their driver gives: which row of the table they are, and their peak. One table for plans and for MFU."""

import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

from pellucid.plan.devices import Device, Range, device_named, device_names
from pellucid.recipe.section import Section
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["UNLISTED", "Gpu", "gpu_named", "unlisted_gpu"]

_NAMES = Path(__file__).parent / "gpus.yaml"
# What makers put before a name, and forms and memories that say no more than the name does.
_SAYS_NOTHING = {"NVIDIA", "TESLA", "GEFORCE", "SXM", "SXM4", "SXM5", "HBM3", "HBM3E"}

UNLISTED = "no row for this GPU: from the lowest to the highest of all GPUs of the table, their median likely"
"""The source of what cannot be measured of a GPU that the table does not know."""


class Gpu(Section):
    """A GPU that is known by name: the row of the table that it is, or no more than its dense bf16 FLOP/s."""

    words: tuple[str, ...]
    row: str | None = None
    peak_flops: float | None = None
    source: str | None = None

    def peak(self) -> tuple[float, str]:
        """Return the dense bf16 FLOP/s and where the figure comes from."""
        peak = device_named(self.row).peak_flops if self.row is not None else self.peak_flops
        assert peak is not None
        return peak, f"data sheet of {' '.join(self.words)}, dense bf16"


@cache
def _known() -> dict[frozenset[str], Gpu]:
    tree = parse_yaml(_NAMES.read_text(encoding="utf-8"), Stamp("given", _NAMES.name))
    assert tree is not None
    rows: list[dict[str, Any]] = plain(tree)
    found = [Gpu.model_validate(row) for row in rows]
    return {frozenset(word.upper() for word in gpu.words): gpu for gpu in found}


def gpu_named(name: str) -> Gpu | None:
    """Return the GPU with such a name, as 'NVIDIA A100-SXM4-40GB', or None. All words count: a word more is another GPU."""
    words = {word for word in re.split(r"[^A-Z0-9]+", name.upper()) if word}
    return _known().get(frozenset(words - _SAYS_NOTHING))


def unlisted_gpu(name: str) -> Device:
    """Return what to plan with of a GPU that the table does not know: for each figure the bounds of all its GPUs.

    What can be measured on the GPU itself is to be put in its place: peak, bandwidth and memory are those of the weakest row.
    """
    rows = [row for row in map(device_named, device_names()) if row.cores is None]
    ranges = {
        field: Range(
            low=min(getattr(row, field).low for row in rows),
            likely=statistics.median(getattr(row, field).likely for row in rows),
            high=max(getattr(row, field).high for row in rows),
        )
        for field in ("power_w", "price_per_hour", "compute_frac", "memory_frac")
    }
    weakest = {
        field: min(getattr(row, field) for row in rows)
        for field in ("peak_flops", "memory_bytes", "bandwidth_bytes_per_s", "link_bytes_per_s", "network_bytes_per_s")
    }
    runtime = max(row.runtime_bytes for row in rows)
    sources = {
        **dict.fromkeys(ranges, UNLISTED),
        **dict.fromkeys(weakest, "no row for this GPU: the lowest of all GPUs of the table"),
        "runtime_bytes": "no row for this GPU: the highest of all GPUs of the table",
    }
    return Device(
        title=name, precision="bf16", devices_per_node=1, runtime_bytes=runtime, cores=None, sources=sources, **ranges, **weakest
    )
