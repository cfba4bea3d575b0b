import ctypes
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pellucid.core.nvml import open_gpus, visible_boards

UUIDS = ["GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44"]

# Four boards behind NVML's own interface, each by its number's joules.
DRIVER = """
#include <stdio.h>
#include <stdint.h>
static const char *uuids[] = {"GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44"};
static const char *models[] = {"A100", "A100", "A100", LAST};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 4; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **handle) { *handle = (void *)(uintptr_t)(n + 1); return 0; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    return snprintf(text, size, "%s", uuids[(uintptr_t)handle - 1]) < 0;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    return snprintf(text, size, "%s", models[(uintptr_t)handle - 1]) < 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *mj) {
    static unsigned long long looks[5];
    *mj = 1000ULL * (uintptr_t)handle * looks[(uintptr_t)handle]++;
    return 0;
}
"""


def test_without_a_driver_there_is_no_counter_and_a_reason() -> None:
    counters, reason = open_gpus("libnvidia-ml-that-is-not-there.so.1")
    assert counters == [] and reason is not None and "no NVIDIA driver" in reason


def test_a_gpu_counts_more_and_more_joules() -> None:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        pytest.skip("no NVIDIA driver")
    counters, reason = open_gpus()
    assert counters or reason
    for counter in counters:
        before = counter.joules()
        time.sleep(0.5)
        assert counter.joules() > before >= 0


@pytest.mark.parametrize(
    ("named", "places"),
    [
        (None, [0, 1, 2, 3]), ("", []), ("-1", []), ("2,0", [2, 0]), (" 1 , 3 ", [1, 3]), ("1,9,2", [1]), ("1,1,2", [1]),
        ("GPU-bb", [2]), ("GPU-cc44,GPU-aa2", [3, 1]), ("GPU-aa", []), ("MIG-GPU-aa11/1/0", []), ("0,MIG-1", [0]), ("none", []),
    ],
)  # fmt: skip
def test_the_boards_are_those_that_cuda_shows(named: str | None, places: list[int]) -> None:
    assert visible_boards(named, UUIDS) == places


def driver(tmp_path: Path, last: str = "A100") -> str:
    """A library with NVML's names, as there is no machine with four GPUs to test on."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "driver.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", f'-DLAST="{last}"', "-xc", "-", "-o", library], input=DRIVER, text=True, check=True
    )
    return str(library)


@pytest.mark.parametrize(
    ("named", "most", "names"),
    [
        (None, None, ["gpu 0", "gpu 1", "gpu 2", "gpu 3"]), (None, 2, ["gpu 0", "gpu 1"]), ("3,1", None, ["gpu 3", "gpu 1"]),
        ("GPU-bb33,0", 1, ["gpu 2"]), ("1", 4, ["gpu 1"]),
    ],
)  # fmt: skip
def test_only_boards_that_the_processes_use_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, most: int | None, names: Sequence[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    counters, reason = open_gpus(driver(tmp_path), most)
    assert [counter.name for counter in counters] == names and reason is None
    assert [counter.joules() for counter in counters] == [float(int(name.split()[1]) + 1) for name in names]


def test_no_board_and_boards_that_cannot_be_told_apart_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7")
    library = driver(tmp_path, "L4")
    assert open_gpus(library) == ([], "CUDA_VISIBLE_DEVICES=MIG-7 shows no whole GPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    counters, reason = open_gpus(library)
    assert counters == [] and reason is not None and "CUDA_DEVICE_ORDER=PCI_BUS_ID" in reason
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert [counter.name for counter in open_gpus(library)[0]] == ["gpu 0"]
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc44")
    assert [counter.name for counter in open_gpus(library)[0]] == ["gpu 3"]
