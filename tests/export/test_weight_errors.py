import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.export.gguf import write_gguf
from pellucid.export.limits import limits_of
from pellucid.export.read_back import ReadBack, read_back
from pellucid.export.weight_errors import weight_errors as judged


def weight_errors(ours, theirs):
    return judged(ours, ReadBack(None, theirs, dict.fromkeys(theirs, "f32")), "F32")


@given(st.integers(0, 4), st.floats(0.01, 10), st.integers(0, 2**20))
def test_a_row_scaled_by_one_and_e_is_off_by_e_and_is_named(row, error, seed):
    ours = {"a": torch.randn(5, 7, generator=torch.Generator().manual_seed(seed)), "b": torch.ones(3)}
    theirs = {name: tensor.clone() for name, tensor in ours.items()}
    theirs["a"][row] *= 1 + error
    found = weight_errors(ours, theirs)
    assert found["largest_row_error"] == pytest.approx(error, rel=1e-4)
    assert (found["tensors"], found["tensor"], found["row"]) == (2, "a", row)


def test_two_swapped_rows_are_as_far_off_as_strangers_are():
    ours = {"embedding.weight": torch.randn(1000, 64)}
    theirs = {"embedding.weight": ours["embedding.weight"].clone()}
    theirs["embedding.weight"][[3, 700]] = theirs["embedding.weight"][[700, 3]]
    found = weight_errors(ours, theirs)
    assert found["largest_row_error"] == pytest.approx(math.sqrt(2), rel=0.3)
    assert found["row"] in (3, 700)


def test_what_is_no_number_missing_or_of_another_shape_is_an_error():
    ours = {"a": torch.ones(2, 2), "b": torch.ones(2)}
    broken = torch.tensor([[1.0, 1.0], [math.nan, 1.0]])
    for theirs in ({**ours, "a": broken}, {"a": ours["a"]}, {**ours, "c": ours["b"]}, {**ours, "a": torch.ones(2, 3)}):
        assert weight_errors(ours, theirs)["largest_row_error"] == math.inf


def test_a_row_of_zeros_is_measured_against_its_tensor():
    ours = torch.ones(4, 4)
    ours[2] = 0
    theirs = ours.clone()
    assert weight_errors({"a": ours}, {"a": theirs})["largest_row_error"] == 0
    theirs[2] = 1e-3
    assert weight_errors({"a": ours}, {"a": theirs})["largest_row_error"] == pytest.approx(1e-3 / 1e-2)


def test_a_tensor_is_judged_by_the_type_that_it_is_stored_in_and_never_wider_than_the_export():
    ours = {"a": torch.randn(4, 64), "norm": torch.ones(64)}
    theirs = {"a": ours["a"] * 1.3, "norm": ours["norm"] * 1.001}
    types = {"a": "q4_0", "norm": "f32"}
    found = judged(ours, ReadBack(None, theirs, types), "Q4_0")
    assert (found["tensor"], found["type"], found["limit"]) == ("norm", "f32", 1e-6)
    assert found["largest_row_error"] == pytest.approx(1e-3, rel=1e-3)
    theirs["norm"] = ours["norm"]
    found = judged(ours, ReadBack(None, theirs, types), "Q4_0")
    assert (found["tensor"], found["type"], found["limit"]) == ("a", "q4_0", limits_of("q4_0").row_error)
    # Rounded to four bits, it is no float16 export, whatever its files say.
    assert judged(ours, ReadBack(None, theirs, types), "F16")["limit"] == limits_of("f16").row_error
    # A type that is not known here is judged by the export's.
    assert judged(ours, ReadBack(None, theirs, types | {"a": "q3_k"}), "Q4_0")["limit"] == limits_of("q4_0").row_error
    with pytest.raises(UsageError, match="has no limits"):
        judged(ours, ReadBack(None, theirs, types), "Q3_K")


def test_a_tied_head_that_is_written_out_is_compared_with_the_embedding_and_a_head_of_its_own_must_be_there():
    ours = {"embedding.weight": torch.randn(8, 16)}
    assert weight_errors(ours, ours | {"head.weight": ours["embedding.weight"].clone()})["largest_row_error"] == 0
    found = weight_errors(ours, ours | {"head.weight": ours["embedding.weight"][[0, 1, 3, 2, 4, 5, 6, 7]]})
    assert found["tensor"] == "head.weight"
    assert found["row"] in (2, 3)
    assert found["largest_row_error"] > 0.1
    untied = ours | {"head.weight": torch.randn(8, 16)}
    found = weight_errors(untied, ours)
    assert (found["largest_row_error"], found["tensor"], found["type"]) == (math.inf, "head.weight", None)


def test_a_norms_bias_of_zeros_may_be_missing_on_either_side_and_another_may_not():
    ours = {"norm.weight": torch.ones(4)}
    zeros = ours | {"norm.bias": torch.zeros(4)}
    assert weight_errors(ours, zeros)["largest_row_error"] == weight_errors(zeros, ours)["largest_row_error"] == 0
    other = ours | {"norm.bias": torch.tensor([0.0, 0.0, 1e-3, 0.0])}
    assert weight_errors(ours, other)["tensor"] == weight_errors(other, ours)["tensor"] == "norm.bias"
    assert weight_errors(other, ours)["largest_row_error"] == 1


def test_rounding_to_half_precision_is_within_the_types_own_step(llama, tokenizer, tmp_path):
    pytest.importorskip("gguf")
    write_gguf(llama.state, llama.config, tokenizer, tmp_path / "h.gguf", dtype="F16", name="t")
    found = judged(llama.state, read_back(tmp_path / "h.gguf", llama.config), "F16")
    assert 0 < found["largest_row_error"] < np.finfo(np.float16).eps
    assert found["type"] == "f16"
