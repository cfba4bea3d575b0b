from itertools import pairwise
from typing import get_args

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.export.gguf import GgufType
from pellucid.export.hf import HfType
from pellucid.export.limits import LIMITS, limits_of
from pellucid.export.read_back_folder import dequantized


def test_every_type_that_is_written_has_limits():
    for name in (
        *get_args(GgufType),
        *get_args(HfType),
        "Q8_0",
        "Q4_0",
        "Q4_1",
        "Q4_K_M",
        "Q5_K_M",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "fp16",
        "int4",
        "int8",
    ):
        assert limits_of(name) is LIMITS[name.lower()]


def test_more_bits_never_have_wider_limits():
    by_bits = [limits_of(name) for name in ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_0")]
    for tighter, wider in pairwise(by_bits):
        assert tighter.kl_mean < wider.kl_mean <= wider.kl_p99
        assert tighter.row_error < wider.row_error < 1


def test_rounding_the_inputs_too_widens_what_an_answer_may_differ_by_and_not_the_weights():
    weights, inputs_too = limits_of("int8"), limits_of("llm.int8")
    assert weights.kl_mean < inputs_too.kl_mean < limits_of("int4").kl_mean
    assert weights.kl_p99 < inputs_too.kl_p99 < limits_of("int4").kl_p99
    assert weights.row_error == inputs_too.row_error


@pytest.mark.parametrize("size", [30, 100, 300])
def test_a_row_with_an_outlier_passes_in_8_bits_with_one_scale_where_the_limit_of_blocks_would_refuse_it(size):
    row_1W = torch.empty(1, 2500).uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    row_1W[0, 7] = size
    scale_11 = row_1W.abs().amax(1, keepdim=True) / 127
    rounded_1W = dequantized("x", (row_1W / scale_11).round().to(torch.int8), scale_11)
    error = float((rounded_1W - row_1W).norm() / row_1W.norm())
    assert error < limits_of("int8").row_error
    assert error > limits_of("q8_0").row_error


def test_a_type_without_limits_is_named_with_those_that_have_them():
    with pytest.raises(UsageError, match=r"'Q3_K' has no limits; one of float32, f32, .* is expected"):
        limits_of("Q3_K")
