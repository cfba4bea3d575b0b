import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pellucid.train.allocation import forget_peak, keep_freed_memory, mapped_bytes

_PROGRAM = """
import resource, sys, torch
from pellucid.train.allocation import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    torch.ones(6 * 2**20)  # 24 MiB, freed at once
for _ in range(3):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return int(subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True, env=clean).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library has no mallopt")
def test_freed_blocks_are_used_again_without_new_pages() -> None:
    pages_touched = 20 * 24 * 2**20 // resource.getpagesize()
    assert faults("keep") < pages_touched / 2  # the system may take back idle pages of its own accord, but not all each time


@pytest.mark.skipif(forget_peak() is None, reason="the system cannot reset the count")
def test_the_greatest_size_is_forgotten() -> None:
    unit = resource.getpagesize()
    block = bytearray(2**28)
    for at in range(0, len(block), unit):
        block[at] = 1
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del block
    now = forget_peak()
    assert now is not None and now < most - 2**27
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < most - 2**27


@pytest.mark.skipif(not mapped_bytes(), reason="the system does not tell pages of files apart")
def test_pages_of_files_are_told_apart_from_others(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(bytes(2**26))
    before = mapped_bytes()
    tensor = torch.ones(2**25)  # 128 MiB
    assert abs(mapped_bytes() - before) < 2**24 and float(tensor[-1]) == 1
    shard = np.memmap(tmp_path / "shard", np.uint8, "r")
    assert not shard[:: resource.getpagesize()].any()
    assert mapped_bytes() - before > 2**26 - 2**24
