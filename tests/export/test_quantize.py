import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.export.gguf_types import bits_per_weight, block_weights, stored_bytes
from pellucid.export.quantize import encode

gguf = pytest.importorskip("gguf")

TYPES = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]


@pytest.fixture(scope="module")
def llama_cpp_bytes():
    """llama.cpp's own function of rows to bytes, as its quantiser calls it, out of the library that xllamacpp brings."""
    xllamacpp = pytest.importorskip("xllamacpp")
    (file, *_) = [*Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"), *Path(xllamacpp.__file__).parent.glob("xllamacpp*.pyd")]
    quantize = getattr(ctypes.CDLL(str(file)), "ggml_quantize_chunk", None)
    if quantize is None:
        pytest.skip("this build of xllamacpp does not show its quantiser")
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]

    def of(rows, kind):
        found = np.zeros((len(rows), stored_bytes(kind, rows.shape) // len(rows)), np.uint8)
        number = gguf.GGMLQuantizationType[kind]
        assert quantize(number, rows.ctypes.data, found.ctypes.data, 0, *rows.shape, None) == found.nbytes
        return found

    return of


def rows_of(case):
    random = np.random.default_rng(7)
    shape = (96, 512)
    arrays = {
        "as weights are": random.normal(0, 0.02, shape),
        "with outliers": random.standard_t(2, shape),
        "on the steps between two codes": random.integers(-16, 17, shape) / 2,
        "all zero, all alike, one of many": np.concatenate([np.zeros((8, 512)), np.full((8, 512), 0.37), np.eye(8, 512)]),
        "next to nothing": random.normal(0, 1e-7, shape),
        "less than a half-precision scale": random.normal(0, 1e-37, shape),
        "large": random.normal(0, 9e3, shape),
        "of one sign": -np.abs(random.normal(0, 1, shape)),
    }
    return np.ascontiguousarray(arrays[case], np.float32)


CASES = [
    "as weights are", "with outliers", "on the steps between two codes", "all zero, all alike, one of many", "next to nothing",
    "less than a half-precision scale", "large", "of one sign",
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("case", CASES)
def test_bytes_are_llama_cpps_own(case, kind, llama_cpp_bytes):
    rows = rows_of(case)
    np.testing.assert_array_equal(encode("w", rows, kind), llama_cpp_bytes(rows, kind))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K"])
def test_a_tensor_of_many_pieces_and_of_three_axes_is_the_same_bytes(kind, llama_cpp_bytes):
    rows = np.random.default_rng(8).normal(size=(4500, 256)).astype(np.float32)
    finished = []
    found = encode("w", rows, kind, done=finished.append)
    np.testing.assert_array_equal(found, llama_cpp_bytes(rows, kind))
    assert len(finished) > 1
    assert sum(finished) == rows.size
    assert encode("w", rows.reshape(9, 500, 256), kind).tobytes() == found.tobytes()


def test_float32_is_left_alone():
    rows = np.random.default_rng(9).normal(size=(3, 5)).astype(np.float32)
    assert encode("w", rows, "F32") is rows


@pytest.mark.parametrize("kind", TYPES)
def test_what_comes_back_is_within_half_a_step_of_what_went_in(kind):
    rows = np.random.default_rng(10).uniform(-1, 1, (64, 512)).astype(np.float32)
    back = gguf.quants.dequantize(encode("w", rows, kind), gguf.GGMLQuantizationType[kind])
    # With b bits a weight the step is at least 2/2^b of the range; blocks of 256 round their scales too.
    bits = {"F16": 11, "BF16": 8}.get(kind) or int(kind[1])
    assert np.abs(back - rows).max() < 1.6 * 2 / 2**bits
    assert bits_per_weight(kind) * rows.size / 8 == encode("w", rows, kind).nbytes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0", "Q6_K"])
def test_a_value_that_is_not_finite_is_refused(kind, value):
    rows = np.zeros((2, 256), np.float32)
    rows[1, 3] = value
    with pytest.raises(ArtifactError, match="w holds values that are not finite"):
        encode("w", rows, kind)


@pytest.mark.parametrize(("kind", "what"), [("F16", "F16 ends"), ("Q4_1", "Q4_1 has F16 scales, which end")])
def test_a_value_beyond_half_precision_is_refused_where_it_would_become_infinite(kind, what):
    rows = np.full((2, 256), -70_000.0, np.float32)
    with pytest.raises(ArtifactError, match=rf"w reaches 7e\+04, {what} at 65504: set export.gguf_types: \[F32\]"):
        encode("w", rows, kind)
    assert np.isfinite(gguf.quants.dequantize(encode("w", rows, "BF16"), gguf.GGMLQuantizationType.BF16)).all()


@pytest.mark.parametrize(("kind", "package"), [("Q4_0", "gguf"), ("Q4_K", "libgguf")])
def test_a_package_that_is_not_there_is_named(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"with {kind} needs the package {package}; .*pellucid\[gguf\]"):
        encode("w", np.zeros((1, 256), np.float32), kind)


def test_sizes_of_blocks_are_the_format_owners():
    for kind in ["F32", *TYPES]:
        weights, stored = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        assert (block_weights(kind), stored_bytes(kind, (3, weights))) == (weights, 3 * stored)
