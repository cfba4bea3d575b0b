import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.export.hf import write_hf
from pellucid.export.read_back_folder import dequantized, open_stored


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([8, 16]), st.integers(0, 2**20))
def test_what_was_rounded_comes_back_within_half_a_step_of_its_group(rows, groups, width, seed):
    weights_RGW = torch.randn(rows, groups, width, generator=torch.Generator().manual_seed(seed))
    low_RG, high_RG = weights_RGW.amin(-1), weights_RGW.amax(-1)
    steps_RG = (high_RG - low_RG) / 15
    codes = ((weights_RGW - low_RG[..., None]) / steps_RG[..., None]).round().to(torch.uint8).view(rows, -1)
    found = dequantized("x", codes, steps_RG, offsets_RG=low_RG)
    assert bool(((found.view(weights_RGW.shape) - weights_RGW).abs() <= 0.501 * steps_RG[..., None]).all())
    # The same with a zero point: low is so many steps below zero.
    zeros_RG = -low_RG / steps_RG
    torch.testing.assert_close(dequantized("x", codes, steps_RG, zeros_RG=zeros_RG), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("codes", "scales", "zeros"),
    [
        (torch.zeros(4, 6), torch.ones(4, 4), None),
        (torch.zeros(4, 6), torch.ones(3, 2), None),
        (torch.zeros(4, 6), torch.ones(4, 0), None),
        (torch.zeros(4, 6), torch.ones(4), None),
        (torch.zeros(24), torch.ones(4, 2), None),
        (torch.zeros(4, 6), torch.ones(4, 2), torch.zeros(4, 1)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(codes, scales, zeros):
    with pytest.raises(ArtifactError, match=r"q_proj: integers, scales and offsets of shapes .* do not belong together"):
        dequantized("q_proj", codes, scales, zeros_RG=zeros)


def test_a_folder_without_integers_is_read_as_it_is_written(trained, tokenizer, tmp_path):
    write_hf(trained.state, trained.config, tokenizer, tmp_path, shard_bytes=100_000)
    found = open_stored(tmp_path).finish({}, {}, trained.config)
    assert found.config == trained.config
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in trained.state.items())
    assert set(found.types.values()) == {"float32"}


def test_settings_that_no_reader_has_read_and_other_tensors_are_refused(llama, tokenizer, tmp_path):
    write_hf(llama.state, llama.config, tokenizer, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"quantization_config": {"bits": 4}}))
    with pytest.raises(ArtifactError, match="quantization_config"):
        open_stored(tmp_path).finish({}, {}, llama.config)
    found = open_stored(tmp_path).finish({}, {}, llama.config, "quantization_config")
    assert found.config == llama.config
    stored = open_stored(tmp_path)
    with pytest.raises(ArtifactError, match=r"lm_head\.weight has type torch\.float32; expected is int8"):
        stored.take("lm_head.weight", torch.int8)
    with pytest.raises(ArtifactError, match=r"model\.norm\.weight is missing"):
        [stored.take("model.norm.weight") for _ in range(2)]
    with pytest.raises(ArtifactError, match=r"the weights do not fit the model's config: model\.norm\.weight is missing"):
        stored.finish({}, {}, llama.config, "quantization_config")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ArtifactError, match="is not a mapping"):
        open_stored(tmp_path)
