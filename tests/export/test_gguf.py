import json
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from pellucid.checkpoint.gguf_file import _their_name, read_gguf_file
from pellucid.core.errors import ArtifactError, MissingExtraError, PellucidWarning
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.quantize import encode
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

LLAMA = {"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False}

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
        ArtifactError, match=r"model.embed_tokens.weight reaches 7e\+04, F16 ends at 65504: set export.gguf_types: \[F32\]"
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


WIDE = {"hidden": 256, "mlp_hidden": 512, "kv_heads": 2}
QUANTISED = ["BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q6_K"]


def wide_model(stablelm, **changes):
    model = Decoder(ModelConfig(**(stablelm.config.model_dump() | WIDE | changes)))
    init_weights(model, 5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in (parameter for parameter in model.parameters() if parameter.ndim == 1):
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return model


@pytest.mark.parametrize("dtype", QUANTISED)
@pytest.mark.parametrize("changes", [{}, {"qk_norm": True}, LLAMA, LLAMA | {"tied_head": True}, LLAMA | {"qk_norm": True}])
def test_read_back_the_weights_are_the_checkpoints_after_one_rounding_by_the_format(changes, dtype, stablelm, tokenizer, tmp_path):
    model = wide_model(stablelm, **changes)
    state = model.state_dict()
    facts = write_gguf(state, model.config, tokenizer, tmp_path / "model.gguf", dtype=dtype, name="t")
    config, again = read_gguf_file(tmp_path / "model.gguf")
    assert config.model_dump() | {"init_std": 0.1} == model.config.model_dump()
    assert again.keys() == state.keys()
    for name, tensor in again.items():
        kind = facts["types"][_their_name(name)]
        # Rows are rounded apart from each other, so their order, which is another in the file, does not matter.
        number = gguf.GGMLQuantizationType[kind]
        rounded = state[name].numpy() if kind == "F32" else gguf.quants.dequantize(encode(name, state[name].numpy(), kind), number)
        np.testing.assert_array_equal(tensor.numpy(), rounded, err_msg=name)


@pytest.mark.parametrize("dtype", QUANTISED)
@pytest.mark.parametrize("changes", [{}, LLAMA, LLAMA | {"qk_norm": True}], ids=["stablelm", "llama", "qwen3"])
def test_llama_cpp_computes_what_the_rounded_weights_give_in_our_decoder(changes, dtype, stablelm, tokenizer, tmp_path):
    pytest.importorskip("xllamacpp")
    model = wide_model(stablelm, **changes)
    facts = write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / "model.gguf", dtype=dtype, name="t")
    ids = tokenizer.encode("The river runs past the mill, and 12 boats lie there.")[:24]
    with LlamaCpp(tmp_path / "model.gguf", 64) as runtime:
        theirs_V = runtime.log_probabilities(ids, model.config.vocab_tokens)
    original_V = log_probabilities(model, ids)
    for name, parameter in model.named_parameters():
        kind = "F32" if parameter.ndim == 1 or "norm" in name else facts["types"][_their_name(name)]
        if kind != "F32":
            number = gguf.GGMLQuantizationType[kind]
            parameter.data = torch.from_numpy(gguf.quants.dequantize(encode(name, parameter.detach().numpy(), kind), number))
    # llama.cpp rounds what it multiplies the weights with too: to 8 bits, or to bfloat16.
    rounded_V = log_probabilities(model, ids)
    assert kl(rounded_V, theirs_V) < 8e-3
    if dtype.startswith("Q4"):
        assert kl(original_V, theirs_V) > 10 * kl(rounded_V, theirs_V)


def log_probabilities(model, ids):
    with torch.inference_mode():
        return torch.log_softmax(model.logits(model(torch.tensor([ids])))[0, -1].double(), -1).numpy()


def kl(ours_V, theirs_V):
    return float((np.exp(ours_V) * (ours_V - theirs_V)).sum())


def test_the_result_says_what_each_tensor_became(stablelm, tokenizer, tmp_path):
    model = wide_model(stablelm)
    facts = write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / "model.gguf", dtype="Q4_K_M", name="t")
    fields, tensors = read(tmp_path / "model.gguf")
    assert facts["types"] == {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert facts["counts"] == {"Q4_K": 13, "Q6_K": 3, "F32": 16}
    weights = sum(int(tensor.n_elements) for tensor in tensors.values())
    assert facts["bits_per_weight"] == pytest.approx(8 * sum(int(tensor.n_bytes) for tensor in tensors.values()) / weights)
    assert facts["fallbacks"] == []
    assert set(facts["written_with"]) == {"gguf", "libgguf"}
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert fields["general.quantization_version"] == gguf.GGML_QUANT_VERSION
    json.dumps(facts)


def test_rows_that_no_block_of_256_fits_get_another_type_which_the_result_and_a_warning_explain(stablelm, tokenizer, tmp_path):
    with pytest.warns(PellucidWarning, match=r"Q4_K_M does not fit every tensor: .* so Q5_0 is written, 5.5 instead of 4.5 bits"):
        facts = write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="Q4_K_M", name="t")
    _, tensors = read(tmp_path / "model.gguf")
    assert facts["types"] == {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert {"tensor": "blk.0.ffn_down.weight", "width": 96, "wanted": "Q4_K", "got": "Q5_0"} in facts["fallbacks"]
    assert {"tensor": "output.weight", "width": 64, "wanted": "Q6_K", "got": "Q8_0"} in facts["fallbacks"]
    with LlamaCpp(tmp_path / "model.gguf", 64) as runtime:
        assert runtime.generate(tokenizer.encode("The river"), 2) is not None


def test_a_checkpoint_in_bfloat16_is_written_bit_for_bit_as_bf16(stablelm, tokenizer, tmp_path):
    state = {name: tensor.bfloat16() for name, tensor in stablelm.state.items()}
    write_gguf(state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="BF16", name="t")
    _, again = read_gguf_file(tmp_path / "model.gguf")
    assert all(torch.equal(again[name], tensor.float()) for name, tensor in state.items())


def test_a_file_that_could_not_be_finished_is_not_there_and_an_older_one_stays(stablelm, tokenizer, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"older")
    state = stablelm.state | {"head.weight": torch.full_like(stablelm.state["head.weight"], float("nan"))}
    with pytest.raises(ArtifactError, match="not finite"):
        write_gguf(state, stablelm.config, tokenizer, tmp_path / "model.gguf", dtype="Q8_0", name="t")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"model.gguf": b"older"}


def test_without_the_package_for_k_types_nothing_is_written_and_other_types_are(stablelm, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "libgguf", None)
    model = wide_model(stablelm)
    with pytest.raises(MissingExtraError, match=r"needs the package libgguf"):
        write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / "model.gguf", dtype="Q6_K", name="t")
    assert list(tmp_path.iterdir()) == []
    write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / "model.gguf", dtype="Q8_0", name="t")


def test_memory_beside_the_weights_is_bounded_by_the_largest_tensor(stablelm, tokenizer, tmp_path):
    model = wide_model(stablelm, layers=12, vocab_tokens=608)
    state = model.state_dict()
    largest = 4 * max(tensor.numel() for tensor in state.values())
    tracemalloc.start()
    try:
        write_gguf(state, model.config, tokenizer, tmp_path / "model.gguf", dtype="Q8_0", name="t")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "model.gguf").stat().st_size > 8 * largest
    assert peak < 8 * largest
