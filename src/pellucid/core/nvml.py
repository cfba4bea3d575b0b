"""NVIDIA's own energy counters, through the library that comes with its driver."""

import ctypes
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["GpuCounter", "open_gpus", "visible_boards"]

_LIBRARY = "libnvidia-ml.so.1"
_NOT_SUPPORTED = 3
_TEXT_BYTES = 96


class GpuCounter:
    """The energy of one GPU's board since it was opened. The driver renews the figure some ten times a second."""

    shortest_s = 1.0

    def __init__(self, library: Any, handle: ctypes.c_void_p, name: str) -> None:
        self.name = name
        self._library, self._handle = library, handle
        self._first_mj = self._millijoules()

    def _millijoules(self) -> int:
        found = ctypes.c_ulonglong()
        status = self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(found))
        if status == _NOT_SUPPORTED:
            raise OSError(f"{self.name} does not count its energy (GPUs do since Volta)")
        if status != 0:
            raise OSError(f"NVML cannot read the energy of {self.name}: status {status}")
        return found.value

    def joules(self) -> float:
        """Return the joules since it was opened. Raises `OSError` when the driver does not tell."""
        return (self._millijoules() - self._first_mj) / 1e3

    def close(self) -> None:
        """Nothing is held open: the driver's library stays as long as the process."""


def open_gpus(library: str = _LIBRARY, most: int | None = None) -> tuple[list[GpuCounter], str | None]:
    """Return a counter for each GPU that CUDA shows this process and that has one, and why some or all are missing.

    Of those that it shows, the first `most`: one for each process that computes here, which take them in this order. Boards that
    the process does not use are somebody else's energy.
    """
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return [], f"there is no NVIDIA driver ({library} is not found)"
    count = ctypes.c_uint()
    status = nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    if status != 0:
        return [], f"NVML does not start: status {status}"
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    boards = [_open(nvml, number) for number in range(count.value)]
    chosen = visible_boards(named, [board.uuid for board in boards])[:most]
    if _order_unknown(chosen, boards, named):
        return [], "the GPUs are of several kinds, which CUDA numbers otherwise than NVML: set CUDA_DEVICE_ORDER=PCI_BUS_ID"
    counters, reasons = [], []
    for number in chosen:
        try:
            if boards[number].status != 0:
                raise OSError(f"NVML does not open gpu {number}: status {boards[number].status}")
            counters.append(GpuCounter(nvml, boards[number].handle, f"gpu {number}"))
        except OSError as error:
            reasons.append(str(error))
    if boards and not chosen:
        reasons.append(f"CUDA_VISIBLE_DEVICES={named} shows no whole GPU")
    return counters, "; ".join(reasons) or (None if counters else "NVML knows no GPU")


def visible_boards(named: str | None, uuids: Sequence[str]) -> list[int]:
    """Return the places of the boards that CUDA shows a process, in its order. `named` is `CUDA_VISIBLE_DEVICES`, None: not set.

    Each entry is a number or a UUID that may be cut short; from the first that names no board on, or none for certain, nothing
    counts (CUDA C++ Programming Guide, CUDA Environment Variables). A part of a board (MIG) is no board.
    """
    if named is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for entry in map(str.strip, named.split(",")):
        if entry.isdecimal():
            places = [int(entry)] if int(entry) < len(uuids) else []
        else:
            places = [place for place, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
        if len(places) != 1 or places[0] in found:
            break
        found += places
    return found


class _Board(NamedTuple):
    handle: ctypes.c_void_p
    status: int
    uuid: str
    model: str


def _open(nvml: Any, number: int) -> _Board:
    handle, uuid, model = ctypes.c_void_p(), ctypes.create_string_buffer(_TEXT_BYTES), ctypes.create_string_buffer(_TEXT_BYTES)
    status = nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle))
    if status == 0:
        nvml.nvmlDeviceGetUUID(handle, uuid, _TEXT_BYTES)
        nvml.nvmlDeviceGetName(handle, model, _TEXT_BYTES)
    return _Board(handle, status, uuid.value.decode(errors="replace"), model.value.decode(errors="replace"))


def _order_unknown(chosen: Sequence[int], boards: Sequence[_Board], named: str | None) -> bool:
    """Tell whether CUDA's numbers may be of other boards than NVML's: it puts the fastest first, NVML goes by bus."""
    if len(chosen) == len(boards) or len({board.model for board in boards}) < 2:
        return False
    by_number = named is None or any(entry.strip().isdecimal() for entry in named.split(","))
    return by_number and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
