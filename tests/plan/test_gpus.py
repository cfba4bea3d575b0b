"""GPUs by the names that their drivers give."""

import pytest

from pellucid.plan.devices import device_named, device_names
from pellucid.plan.gpus import UNLISTED, gpu_named, unlisted_gpu


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
    ],
)
def test_a_gpu_of_the_table_is_found_and_has_the_peak_of_its_row(name: str, row: str) -> None:
    found = gpu_named(name)
    assert found is not None and found.row == row
    assert found.peak() == (device_named(row).peak_flops, f"data sheet of {' '.join(found.words)}, dense bf16")


def test_every_gpu_of_the_table_has_a_name() -> None:
    known = {"A100-40GB", "A100-80GB", "H100", "H200", "B200", "L4", "L40S", "RTX-4090"}
    assert {name for name in device_names() if device_named(name).cores is None} == known


@pytest.mark.parametrize(
    "name",
    [
        *("NVIDIA L40", "Tesla V100-SXM2-16GB", "Tesla T4", "NVIDIA A10G", "NVIDIA H20", "NVIDIA H800", "AMD Instinct MI300X"),
        *(
            "NVIDIA H100 NVL",
            "NVIDIA H200 NVL",
            "NVIDIA GH200 480GB",
            "NVIDIA GB200",
            "NVIDIA A100-SXM-64GB",
            "NVIDIA A800-SXM4-40GB",
        ),
        *("NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3090 Ti"),
        *("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "Voodoo 2", ""),
    ],
)
def test_another_gpu_with_part_of_a_known_name_is_not_it(name: str) -> None:
    assert gpu_named(name) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA GeForce RTX 3090", 71e12),
    ],
)
def test_of_some_the_peak_is_known_and_nothing_else(name: str, peak: float) -> None:
    found = gpu_named(name)
    assert found is not None and found.row is None and found.peak()[0] == peak and found.source


def test_an_unknown_gpu_has_the_bounds_of_all_and_says_so() -> None:
    found = unlisted_gpu("Voodoo 2")
    rows = [row for row in map(device_named, device_names()) if row.cores is None]
    for row in rows:
        for field in ("power_w", "price_per_hour", "compute_frac", "memory_frac"):
            bounds, known = getattr(found, field), getattr(row, field)
            assert bounds.low <= known.low and known.high <= bounds.high and found.sources[field] == UNLISTED
    assert found.title == "Voodoo 2" and found.cores is None
    figures = set(type(found).model_fields) - {"title", "precision", "sources", "devices_per_node", "cores"}
    assert set(found.sources) == figures
