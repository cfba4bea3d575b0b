"""NVIDIA's own energy counters, through the library that comes with its driver."""

import ctypes
from typing import Any

__all__ = ["GpuCounter", "open_gpus"]

_LIBRARY = "libnvidia-ml.so.1"
_NOT_SUPPORTED = 3


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


def open_gpus(library: str = _LIBRARY) -> tuple[list[GpuCounter], str | None]:
    """Return a counter for each GPU that has one, and why some or all are missing."""
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return [], f"there is no NVIDIA driver ({library} is not found)"
    count = ctypes.c_uint()
    status = nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    if status != 0:
        return [], f"NVML does not start: status {status}"
    counters, reasons = [], []
    for number in range(count.value):
        handle = ctypes.c_void_p()
        status = nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle))
        try:
            if status != 0:
                raise OSError(f"NVML does not open gpu {number}: status {status}")
            counters.append(GpuCounter(nvml, handle, f"gpu {number}"))
        except OSError as error:
            reasons.append(str(error))
    return counters, "; ".join(reasons) or (None if counters else "NVML knows no GPU")
