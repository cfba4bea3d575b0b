import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.read_back import read_back


def write(format_, trained, tokenizer, folder, dtype=None):
    if format_ == "hf":
        write_hf(trained.state, trained.config, tokenizer, folder, dtype=dtype or "float32")
        return folder
    pytest.importorskip("gguf")
    write_gguf(trained.state, trained.config, tokenizer, folder / "model.gguf", dtype=dtype or "F32", name="t")
    return folder / "model.gguf"


@pytest.mark.parametrize("format_", ["hf", "gguf"])
def test_every_shape_is_described_as_it_is_and_comes_back_bit_for_bit(format_, trained, tokenizer, tmp_path):
    found = read_back(write(format_, trained, tokenizer, tmp_path), trained.config)
    assert found.config == trained.config
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in trained.state.items())
    assert found.types == dict.fromkeys(found.tensors, "f32")
    for name in found.tensors.keys() - trained.state.keys():  # what the formats want written though the checkpoint lacks it
        if name == "head.weight":
            assert torch.equal(found.tensors[name], trained.state["embedding.weight"])
        else:
            assert name.endswith("norm.bias")
            assert not found.tensors[name].any()


@pytest.mark.filterwarnings("ignore:Q4_0 does not fit every tensor")
def test_each_tensor_has_its_own_type(llama, tokenizer, tmp_path):
    found = read_back(write("gguf", llama, tokenizer, tmp_path, "Q4_0"), llama.config)
    assert found.types["norm.weight"] == "f32"
    assert found.types["blocks.1.mlp.up.weight"] == "q4_0"
    assert found.types["head.weight"] == "q8_0"  # rows of 64 are no blocks of 256, which Q6_K wants
    found = read_back(write("hf", llama, tokenizer, tmp_path, "bfloat16"), llama.config)
    assert set(found.types.values()) == {"bf16"}


def test_a_folder_of_several_weight_files_is_read_whole_and_an_empty_one_is_named(llama, tokenizer, tmp_path):
    assert len(write_hf(llama.state, llama.config, tokenizer, tmp_path, shard_bytes=100_000)) > 1
    found = read_back(tmp_path, llama.config)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in llama.state.items())
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(ArtifactError, match=r"has neither model\.safetensors nor"):
        read_back(tmp_path, llama.config)
    with pytest.raises(ArtifactError, match="is no folder with weights"):
        read_back(tmp_path / "nowhere", llama.config)
