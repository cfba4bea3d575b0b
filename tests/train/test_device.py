import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.train.device import Device, deterministic, pick_device, pick_kind

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_is_float32_on_the_cpu() -> None:
    assert pick_device("auto") == Device(CPU, "fp32")
    assert pick_device("bf16").precision == "bf16"


def test_a_kind_of_device_can_be_asked_for() -> None:
    assert pick_device("auto", "cpu") == Device(CPU, "fp32") and pick_kind("cpu") == "cpu"
    if torch.cuda.is_available():
        assert pick_kind("auto") == pick_kind("cuda") == pick_device("auto", "cuda").device.type == "cuda"
    else:
        assert pick_kind("auto") == "cpu"
        for pick in (pick_kind, lambda kind: pick_device("auto", kind)):
            with pytest.raises(UsageError, match="--device cuda: torch sees no GPU here; take --device cpu"):
                pick("cuda")


def test_bf16_computes_products_in_bfloat16_and_keeps_float32_weights() -> None:
    layer = torch.nn.Linear(4, 4)
    with Device(CPU, "bf16").autocast():
        assert layer(torch.ones(2, 4)).dtype == torch.bfloat16
    with Device(CPU, "fp32").autocast():
        assert layer(torch.ones(2, 4)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_memory_and_peak_are_real_figures_with_their_origin() -> None:
    device = Device(CPU, "fp32")
    assert 10 * 2**20 < device.memory_bytes() < 2**40
    flops, source = device.peak_flops()
    assert 1e8 < flops < 1e15
    assert "measured" in source


def test_memory_is_counted_anew_from_where_it_begins() -> None:
    device = Device(CPU, "fp32")
    large = torch.ones(2**26)  # 256 MiB
    most = device.memory_bytes()
    del large
    before = device.begin_counting_memory()
    if before is None:
        pytest.skip("this system cannot reset the count")
    # The kernel adds its counters up now and then only: two of them differ by some pages.
    assert before - 2**22 < device.memory_bytes() < most - 2**27
    small = torch.ones(2**25)
    assert device.memory_bytes() - before > 0.9 * small.numel() * 4


def test_known_gpus_take_their_peak_from_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(torch.device("cuda", 0), "bf16")
    for name, peak in {"NVIDIA H200": 989.4e12, "NVIDIA H100 PCIe": 756e12, "NVIDIA A100-SXM4-40GB": 312e12}.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        assert device.peak_flops()[0] == peak


def test_an_unknown_gpu_is_measured_and_not_taken_for_one_with_a_name_like_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "_measure_matmul", lambda *_: 1e12)
    for name in ("NVIDIA L40", "NVIDIA A10G", "NVIDIA H100 NVL", "NVIDIA GeForce RTX 4090 Laptop GPU"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        flops, source = Device(torch.device("cuda", 0), "bf16").peak_flops()
        assert flops == 1e12 and "measured" in source, name


def test_a_backward_pass_on_a_gpu_is_held_to_determinism_where_it_was_asked_for() -> None:
    gpu = Device(torch.device("cuda", 0), "bf16")
    with Device(CPU, "fp32").backward(), gpu.backward():
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic():
        with Device(CPU, "fp32").backward():
            assert torch.is_deterministic_algorithms_warn_only_enabled()
        with gpu.backward():
            assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_determinism_is_asked_for_inside_and_put_back_outside() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before
