import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.weight_errors import read_exported_weights, weight_errors


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


def test_files_are_read_back_as_they_were_written(llama, stablelm, tokenizer, tmp_path):
    pytest.importorskip("gguf")
    for name, trained in (("llama", llama), ("stablelm", stablelm)):
        write_hf(trained.state, trained.config, tokenizer, tmp_path / name)
        write_gguf(trained.state, trained.config, tokenizer, tmp_path / f"{name}.gguf", dtype="F32", name="t")
        for path in (tmp_path / name, tmp_path / f"{name}.gguf"):
            assert weight_errors(trained.state, read_exported_weights(path, trained.config))["largest_row_error"] == 0
    write_gguf(llama.state, llama.config, tokenizer, tmp_path / "h.gguf", dtype="F16", name="t")
    found = weight_errors(llama.state, read_exported_weights(tmp_path / "h.gguf", llama.config))
    assert 0 < found["largest_row_error"] < np.finfo(np.float16).eps


def test_a_folder_of_several_weight_files_is_read_whole_and_an_empty_one_is_named(llama, tokenizer, tmp_path):
    shards = write_hf(llama.state, llama.config, tokenizer, tmp_path, shard_bytes=100_000)
    assert len(shards) > 1
    assert weight_errors(llama.state, read_exported_weights(tmp_path, llama.config))["largest_row_error"] == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"has neither model\.safetensors nor"):
        read_exported_weights(tmp_path / "empty", llama.config)
