"""The peak that MFU is measured against, kept honest while a run goes on."""

import time
from collections.abc import Callable

from pellucid.train.device import Device

__all__ = ["PeakWatch"]

_LOOK_EVERY_S = 60.0


class PeakWatch:
    """The peak of `ranks` devices, as a data sheet or a measurement says; of a CPU measured again every minute.

    A processor that others use as well looks slower than it is, and a peak that training itself surpasses is none. So the fastest
    that was ever seen counts: a product of matrices, or a step's own multiplications. It never falls.
    """

    def __init__(self, device: Device, ranks: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._ranks, self._clock = device, ranks, clock
        flops, self.source = device.peak_flops()
        self.flops = flops * ranks
        self._looked = clock()

    def seen(self, flops_per_s: float) -> float:
        """Take note that a step multiplied this fast, look again when that is due, and return the peak."""
        if self._device.device.type == "cpu" and self._clock() - self._looked >= _LOOK_EVERY_S:
            self.flops = max(self.flops, self._device.quick_matmul_flops() * self._ranks)
            self._looked = self._clock()
        self.flops = max(self.flops, flops_per_s)
        return self.flops
