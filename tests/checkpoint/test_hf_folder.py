import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from pellucid.checkpoint.hf_folder import read_hf_config, read_hf_folder, weight_files
from pellucid.core.errors import ArtifactError, PellucidWarning
from pellucid.export.hf import write_hf
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import read_preset
from pellucid.recipe.tree import plain
from pellucid.tokenizer.tokenizer import Tokenizer

IDS_BT = torch.randint(96, (2, 40), generator=torch.Generator().manual_seed(3))

MODELS = {
    "stablelm with qkv bias": ("StableLm", {"use_qkv_bias": True}),
    "stablelm without": ("StableLm", {"partial_rotary_factor": 0.5, "layer_norm_eps": 1e-6}),
    "stablelm, every key its own head, tied": ("StableLm", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "stablelm with norms of queries and keys": ("StableLm", {"qk_layernorm": True}),
    "llama, grouped": ("Llama", {}),
    "qwen3, grouped": ("Qwen3", {"head_dim": 16}),
    "qwen3, tied, another base": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True, "rope_theta": 1e6}),
    "llama, tied, another base": ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 1, "rope_theta": 1e5}),
}


def logits(model: Decoder | Any) -> Tensor:
    with torch.no_grad():
        return model.logits(model(IDS_BT)) if isinstance(model, Decoder) else model(IDS_BT).logits.float()


def imported(folder: Path) -> Decoder:
    config, state = read_hf_folder(folder)
    model = Decoder(config)
    model.load_state_dict(state)
    return model


def edit_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        values.pop(name, None)
        if value is not ...:
            values[name] = value
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("shards", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize(("kind", "changes"), MODELS.values(), ids=MODELS)
def test_imported_logits_equal_those_of_transformers(
    theirs: Callable[..., Any], tmp_path: Path, kind: str, changes: dict[str, Any], shards: bool
) -> None:
    oracle = theirs(kind, **changes)
    oracle.save_pretrained(tmp_path, **({"max_shard_size": "60KB"} if shards else {}))
    assert len(weight_files(tmp_path)) > 1 if shards else list(weight_files(tmp_path)) == ["model.safetensors"]
    wanted = logits(oracle)
    assert wanted.abs().max() > 1
    torch.testing.assert_close(logits(imported(tmp_path)), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_becomes_float32_exactly(theirs: Callable[..., Any], tmp_path: Path, kind: torch.dtype) -> None:
    oracle = theirs("StableLm", use_qkv_bias=True).to(kind)
    oracle.save_pretrained(tmp_path)
    model = imported(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    # Loaded anew: `to` rounds their rotary tables as well.
    again = type(oracle).from_pretrained(tmp_path, dtype=torch.float32).eval()
    torch.testing.assert_close(logits(model), logits(again), atol=1e-4, rtol=0)


def test_transformers_4_has_rotary_settings_at_top_level_and_both_may_be_there(theirs: Callable[..., Any], tmp_path: Path) -> None:
    theirs("StableLm").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    nested = json.loads(file.read_text())["rope_parameters"]
    assert nested["partial_rotary_factor"] == 0.25
    edit_config(tmp_path, rope_parameters=..., rope_theta=5e4, partial_rotary_factor=0.5, rope_scaling=None)
    config = read_hf_config(file)
    assert (config.rotary_base, config.rotary_frac) == (5e4, 0.5)
    edit_config(tmp_path, rope_parameters={**nested, "rope_theta": 5e4}, partial_rotary_factor=0.25)
    assert read_hf_config(file).rotary_frac == 0.25
    edit_config(tmp_path, rope_theta=1e4)
    with pytest.raises(ArtifactError, match=r"rope_theta: got 10000\.0; rope_parameters\.rope_theta says 50000"):
        read_hf_config(file)


def test_old_llama_files_with_rotary_tables_and_without_optional_fields_are_read(
    theirs: Callable[..., Any], tmp_path: Path
) -> None:
    oracle = theirs("Llama", num_key_value_heads=4, rms_norm_eps=1e-6)
    oracle.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tables = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(8) for layer in range(3)}
    save_file({**load_file(file), **tables}, file)
    edit_config(
        tmp_path, rope_parameters=..., num_key_value_heads=..., head_dim=..., rms_norm_eps=..., attention_bias=..., mlp_bias=...
    )
    torch.testing.assert_close(logits(imported(tmp_path)), logits(oracle), atol=1e-4, rtol=0)


def test_export_then_import_is_the_identity(decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_hf(decoder.state_dict(), decoder.config, tokenizer, tmp_path)
    config, state = read_hf_folder(tmp_path)
    assert config == decoder.config
    assert state.keys() == decoder.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in decoder.state_dict().items())


@settings(max_examples=15)
@given(
    family=st.sampled_from(["layernorm", "rmsnorm"]), norm_bias=st.booleans(), qkv_bias=st.booleans(), tied_head=st.booleans(),
    kv_heads=st.sampled_from([1, 2, 4]), qk_norm=st.booleans(), rotary_frac=st.sampled_from([0.125, 0.25, 0.75, 1.0]),
    seed=st.integers(0, 99), rotary_base=st.floats(2, 1e7), norm_eps=st.floats(1e-9, 1e-2),
)  # fmt: skip
def test_export_then_import_is_the_identity_for_any_shape(
    ours: Callable[..., Decoder], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, family: str, norm_bias: bool,
    qkv_bias: bool, rotary_frac: float, **shape: Any,
) -> None:  # fmt: skip
    if family == "rmsnorm":
        norm_bias, qkv_bias, rotary_frac = False, False, 1.0
    model = ours(norm=family, norm_bias=norm_bias, qkv_bias=qkv_bias, rotary_frac=rotary_frac, **shape)
    folder = tmp_path_factory.mktemp("hf")
    write_hf(model.state_dict(), model.config, tokenizer, folder)
    config, state = read_hf_folder(folder)
    assert config == model.config
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


REFUSED = {
    "another class": ({"architectures": ["MistralForCausalLM"]}, "architectures: got 'MistralForCausalLM'; weights can"),
    "no class": ({"architectures": ...}, "architectures: got None"),
    "qwen3 with heads of 128": ({"architectures": ["Qwen3ForCausalLM"], "head_dim": ...}, "head_dim: missing"),
    "a field missing": ({"hidden_size": ...}, "hidden_size: missing"),
    "a field of another type": ({"num_hidden_layers": "3"}, "num_hidden_layers: got '3'; must be a whole number"),
    "a count that is true": ({"vocab_size": True}, "vocab_size: got true; must be a whole number"),
    "linear rope scaling (4)": ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.type: got 'linear'"),
    "llama3 rope (5)": (
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}},
        "rope_parameters.rope_type: got 'llama3'; the decoder has only 'default'",
    ),
    "a factor without a type": ({"rope_parameters": {"rope_theta": 1e4, "factor": 8.0}}, "rope_parameters.factor: got 8.0"),
    "sliding window": ({"sliding_window": 4096}, "sliding_window: got 4096; the decoder knows no such field"),
    "some layers local": ({"layer_types": ["full_attention", "sliding_attention", "full_attention"]}, "layer_types: got ['full_"),
    "attention biases": ({"attention_bias": True}, "attention_bias: got true; the decoder has only false"),
    "mlp biases": ({"mlp_bias": True}, "mlp_bias: got true"),
    "qk norm": ({"qk_layernorm": True}, "qk_layernorm: got true; the decoder has only false"),
    "parallel residual": ({"use_parallel_residual": True}, "use_parallel_residual: got true"),
    "another activation": ({"hidden_act": "gelu"}, "hidden_act: got 'gelu'; the decoder has only 'silu' or 'swish'"),
    "wide heads": ({"head_dim": 32}, "head_dim: got 32; the decoder has only 16"),
    "partly rotated llama": ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: got 0.5; the decoder has only 1.0"),
    "neighbours rotated": ({"rope_interleaved": True}, "rope_interleaved: got true"),
    "quantised": ({"quantization_config": {"bits": 4}}, "quantization_config: got a mapping"),
    "heads that do not divide": ({"num_attention_heads": 5, "head_dim": ...}, "hidden 64 is not a multiple of heads 5"),
    "another number of layers": ({"num_hidden_layers": 4}, "model.layers.3.input_layernorm.weight is missing"),
    "another width": ({"intermediate_size": 81}, "mlp.gate_proj.weight has shape (80, 64), the config says (81, 64)"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_decoder_cannot_represent_is_refused_by_field_and_value(
    hf_folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(hf_folder, **changes)
    with pytest.raises(ArtifactError) as raised:
        read_hf_folder(hf_folder)
    assert message in str(raised.value)
    assert str(hf_folder) in str(raised.value)


def test_all_fields_that_are_wrong_are_named_at_once(hf_folder: Path) -> None:
    edit_config(hf_folder, hidden_act="relu", attention_bias=True, sliding_window=8, vocab_size=...)
    with pytest.raises(ArtifactError) as raised:
        read_hf_config(hf_folder / "config.json")
    assert all(name in str(raised.value) for name in ("hidden_act", "attention_bias", "sliding_window", "vocab_size: missing"))


def test_a_field_that_nobody_knows_is_named_in_a_warning(hf_folder: Path) -> None:
    edit_config(hf_folder, logits_times=3.0, unsloth_version="1")
    with pytest.warns(PellucidWarning, match=r"left out: logits_times = 3\.0, unsloth_version = '1'"):
        read_hf_config(hf_folder / "config.json")


def test_a_folder_without_config_and_one_without_safetensors_say_so(hf_folder: Path) -> None:
    for file in hf_folder.glob("*.safetensors*"):
        file.unlink()
    with pytest.raises(ArtifactError, match=r"has neither model\.safetensors nor model\.safetensors\.index\.json$"):
        read_hf_folder(hf_folder)
    (hf_folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ArtifactError, match=r"pytorch_model\.bin holds pickled code and is not opened"):
        read_hf_folder(hf_folder)
    (hf_folder / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"config\.json is not JSON"):
        read_hf_folder(hf_folder)
    (hf_folder / "config.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"config\.json is not a mapping"):
        read_hf_folder(hf_folder)
    (hf_folder / "config.json").unlink()
    with pytest.raises(ArtifactError, match=r"config\.json is missing"):
        read_hf_folder(hf_folder)


def first_shard(folder: Path) -> Path:
    return sorted(folder.glob("model-*.safetensors"))[0]


@pytest.mark.parametrize("kept_frac", [0.0, 0.01, 0.5, 0.999])
def test_a_shard_cut_short_is_named(hf_folder: Path, kept_frac: float) -> None:
    shard = first_shard(hf_folder)
    data = shard.read_bytes()
    shard.write_bytes(data[: int(len(data) * kept_frac)])
    with pytest.raises(ArtifactError, match=rf"{shard.name} cannot be read"):
        read_hf_folder(hf_folder)


def test_a_missing_shard_is_named(hf_folder: Path) -> None:
    shard = first_shard(hf_folder)
    shard.unlink()
    with pytest.raises(ArtifactError, match=rf"{shard.name} is missing; model\.safetensors\.index\.json expects \d+ tensors in it"):
        read_hf_folder(hf_folder)


def test_a_shard_that_disagrees_with_the_index_is_named(hf_folder: Path) -> None:
    shard = first_shard(hf_folder)
    tensors = load_file(shard)
    name, tensor = tensors.popitem()
    save_file({**tensors, "surplus": tensor}, shard)
    with pytest.raises(ArtifactError, match=rf"{shard.name} lacks {name}, against model\.safetensors\.index\.json"):
        read_hf_folder(hf_folder)
    save_file({**tensors, name: tensor, "surplus": tensor.clone()}, shard)
    with pytest.raises(ArtifactError, match=rf"{shard.name} holds surplus, against"):
        read_hf_folder(hf_folder)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../a"}}'])
def test_a_wrong_index_is_named(hf_folder: Path, index: str) -> None:
    (hf_folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ArtifactError, match=r"index\.json: weight_map"):
        read_hf_folder(hf_folder)


def test_missing_extra_and_misshapen_tensors_and_other_types_are_named(theirs: Callable[..., Any], tmp_path: Path) -> None:
    theirs("Llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    kept = {name: tensor for name, tensor in tensors.items() if name != "model.norm.weight"}
    save_file({**kept, "model.layers.0.self_attn.o_proj.bias": torch.zeros(64)}, file)
    with pytest.raises(
        ArtifactError, match=r"model\.norm\.weight is missing; model\.layers\.0\.self_attn\.o_proj\.bias is unknown"
    ):
        read_hf_folder(tmp_path)
    save_file({**kept, "model.norm.weight": torch.zeros(63)}, file)
    with pytest.raises(ArtifactError, match=r"model\.norm\.weight has shape \(63,\), the config says \(64,\)"):
        read_hf_folder(tmp_path)
    save_file({**kept, "model.norm.weight": torch.zeros(64, dtype=torch.int8)}, file)
    with pytest.raises(ArtifactError, match=r"model\.norm\.weight has type I8; weights can be imported from F32, F16, BF16"):
        read_hf_folder(tmp_path)


# The shapes of three published models in the form in which transformers 4 writes config.json; SmolLM2's has fields of its authors.
PUBLISHED = {
    "tinyllama-1.1b": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632, "max_position_embeddings": 2048,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1,
        "rms_norm_eps": 1e-5, "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.35.0", "use_cache": True, "vocab_size": 32000,
    },
    "smollm2-135m": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
        "intermediate_size": 1536, "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None, "rope_theta": 100000,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers.js_config": {"kv_cache_dtype": {}},
        "transformers_version": "4.42.3", "use_cache": True, "vocab_size": 49152,
    },
    "stable-lm-2-1.6b": {
        "architectures": ["StableLmForCausalLM"], "bos_token_id": 100257, "eos_token_id": 100257, "hidden_act": "silu",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 4096, "model_type": "stablelm", "num_attention_heads": 32, "num_hidden_layers": 24,
        "num_key_value_heads": 32, "partial_rotary_factor": 0.25, "rope_theta": 10000, "tie_word_embeddings": False,
        "torch_dtype": "float16", "transformers_version": "4.38.0", "use_cache": True, "use_qkv_bias": True, "vocab_size": 100352,
    },
}  # fmt: skip


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_configs_give_the_shipped_presets(tmp_path: Path, preset: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[preset]))
    found = read_hf_config(tmp_path / "config.json")
    assert found == ModelConfig(**{**plain(read_preset(preset)), "norm_bias": False})  # the file does not tell
