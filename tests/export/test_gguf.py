import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.model.decoder import Decoder

gguf = pytest.importorskip("gguf")


def read(path):
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.fixture(scope="module")
def written(stablelm, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(stablelm.state, stablelm.config, tokenizer, path, dtype="F16", name="Pocket")
    return read(path)


def test_the_file_says_what_the_model_is(written, stablelm, tokenizer):
    fields, _ = written
    config = stablelm.config
    assert fields["general.architecture"] == "stablelm"
    assert fields["general.name"] == "Pocket"
    assert fields["stablelm.context_length"] == config.context_tokens
    assert fields["stablelm.rope.dimension_count"] == config.rotary_channels
    assert fields["stablelm.use_parallel_residual"] is False
    assert fields["tokenizer.ggml.pre"] == "stablelm2"
    assert fields["tokenizer.ggml.eos_token_id"] == tokenizer.eos_id
    assert fields["tokenizer.ggml.add_bos_token"] is False


def test_special_tokens_are_control_and_rows_without_a_token_are_unused(written, tokenizer):
    fields, _ = written
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == 608
    assert {tokens[id_] for id_ in range(608) if types[id_] == gguf.TokenType.CONTROL} == set(tokenizer.special)
    assert tokens[600:] == [f"[PAD{id_}]" for id_ in range(600, 608)]
    assert set(types[600:]) == {gguf.TokenType.UNUSED}
    assert len(set(tokens)) == len(tokens)


def test_matrices_are_f16_but_the_head_and_vectors_stay_f32(written, stablelm):
    _, tensors = written
    for tensor in tensors.values():
        stays = len(tensor.shape) == 1 or tensor.name == "output.weight"
        expected = gguf.GGMLQuantizationType.F32 if stays else gguf.GGMLQuantizationType.F16
        assert tensor.tensor_type == expected, tensor.name
    embedding = stablelm.state["embedding.weight"].half().numpy()
    np.testing.assert_array_equal(tensors["token_embd.weight"].data, embedding)


def test_norms_without_bias_get_zeros_and_a_tied_head_is_written_out_for_stablelm(stablelm, tokenizer, tmp_path):
    config = stablelm.config.model_copy(update={"norm_bias": False, "tied_head": True})
    state = {name: tensor for name, tensor in stablelm.state.items() if "norm.bias" not in name and name != "head.weight"}
    write_gguf(state, config, tokenizer, tmp_path / "model.gguf", dtype="F32", name="t")
    _, tensors = read(tmp_path / "model.gguf")
    for name in ("output_norm.bias", "blk.0.attn_norm.bias", "blk.1.ffn_norm.bias"):
        assert not tensors[name].data.any()
    np.testing.assert_array_equal(tensors["output.weight"].data, tensors["token_embd.weight"].data)


def test_norms_of_heads_are_stacked_for_stablelm_shared_for_qwen3_and_stay_f32(stablelm, tokenizer, tmp_path):
    llama = {"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False}
    for architecture, changes in (("stablelm", {}), ("qwen3", llama)):
        config = stablelm.config.model_copy(update={**changes, "qk_norm": True, "kv_heads": 2})
        state = {name: torch.randn(tensor.shape) for name, tensor in Decoder(config).state_dict().items()}
        write_gguf(state, config, tokenizer, tmp_path / "model.gguf", dtype="F16", name="t")
        fields, tensors = read(tmp_path / "model.gguf")
        assert fields["general.architecture"] == architecture
        for theirs, ours in (("attn_q_norm", "query_norm"), ("attn_k_norm", "key_norm")):
            tensor = tensors[f"blk.1.{theirs}.weight"]
            assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
            expected = state[f"blocks.1.attention.{ours}.weight"].numpy()
            np.testing.assert_array_equal(tensor.data, expected.reshape(-1, 16) if architecture == "stablelm" else expected)


def test_a_weight_beyond_f16_and_one_that_is_not_finite_are_refused(stablelm, tokenizer, tmp_path):
    state = stablelm.state | {"embedding.weight": torch.full_like(stablelm.state["embedding.weight"], 70_000.0)}
    with pytest.raises(
        ArtifactError, match=r"model.embed_tokens.weight reaches 7e\+04, F16 ends at 65504: set export.gguf_type: F32"
    ):
        write_gguf(state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="F16", name="t")
    state["head.weight"] = torch.full_like(state["head.weight"], float("nan"))
    with pytest.raises(ArtifactError, match=r"lm_head.weight holds values that are not finite"):
        write_gguf(state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="F32", name="t")


def test_a_chat_template_and_the_end_of_a_turn_are_written(stablelm, tokenizer, tmp_path):
    end = tokenizer.special["<|im_end|>"]
    chat = ChatExport("{{ messages }}", (tokenizer.eos_id, end))
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="F16", name="t", chat=chat)
    fields, _ = read(tmp_path / "model.gguf")
    assert fields["tokenizer.chat_template"] == "{{ messages }}"
    assert (fields["tokenizer.ggml.eos_token_id"], fields["tokenizer.ggml.eot_token_id"]) == (tokenizer.eos_id, end)
