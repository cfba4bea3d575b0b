import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.adapters.quantized import PARTS, Kind, dequantize, quantize


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02


def test_nf4_has_the_bytes_and_the_scales_of_bitsandbytes() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    for shape in ((576, 1536), (64, 64), (30, 50), (3, 5)):
        weight_OI = matrix(*shape)
        theirs, state = bitsandbytes.functional.quantize_4bit(weight_OI, blocksize=64, quant_type="nf4")
        bytes_N, absmax_N = quantize(weight_OI, "nf4")
        assert torch.equal(bytes_N, theirs.view(-1))
        assert torch.equal(absmax_N, state.absmax)
        whole = bitsandbytes.functional.dequantize_4bit(theirs, state)
        assert torch.equal(dequantize("nf4", (bytes_N, absmax_N), shape), whole)


def test_int8_rounds_as_bitsandbytes_does() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weight_OI = matrix(96, 200)
    theirs, absmax_O, _ = bitsandbytes.functional.int8_vectorwise_quant(weight_OI.half())
    whole_OI, scale_O = quantize(weight_OI.half().float(), "int8")
    assert int((whole_OI.int() - theirs.int()).abs().max()) <= 1
    assert float((whole_OI == theirs).float().mean()) > 0.99
    torch.testing.assert_close(scale_O * 127, absmax_O.float())


@pytest.mark.parametrize(("kind", "largest", "size"), [("none", 0.0, 4.0), ("int8", 0.01, 1.03), ("nf4", 0.1, 0.57)])
def test_the_error_of_a_normal_matrix_and_the_bytes_of_a_number(kind: Kind, largest: float, size: float) -> None:
    weight_OI = matrix(512, 1024)
    parts = quantize(weight_OI, kind)
    assert len(parts) == len(PARTS[kind])
    assert sum(part.nbytes for part in parts) / weight_OI.numel() <= size
    error = (dequantize(kind, parts, (512, 1024)) - weight_OI).norm() / weight_OI.norm()
    assert float(error) <= largest


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 150),
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    kind=st.sampled_from(["int8", "nf4"]),
)
def test_each_number_comes_back_within_half_of_a_step_and_once_rounded_it_stays(
    rows: int, columns: int, seed: int, scale: float, kind: Kind
) -> None:
    weight_OI = matrix(rows, columns, seed) * scale
    once = dequantize(kind, quantize(weight_OI, kind), (rows, columns))
    step = 1 / 127 if kind == "int8" else 0.31  # the widest gap between two values of NF4 is 0.304
    assert float((once - weight_OI).abs().max()) <= 0.5 * step * float(weight_OI.abs().max()) * (1 + 1e-5)
    again = dequantize(kind, quantize(once, kind), (rows, columns))
    torch.testing.assert_close(again, once, rtol=1e-6, atol=0)
