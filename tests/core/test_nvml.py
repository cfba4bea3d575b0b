import ctypes
import time

import pytest

from pellucid.core.nvml import open_gpus


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
