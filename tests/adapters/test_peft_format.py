import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.adapters.lora import add_adapters, base_state, is_adapted, merge_adapters
from pellucid.adapters.peft_format import load_peft, peft_digest, read_peft, save_peft
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig

ADAPTER = AdapterConfig(rank=4, alpha=6.5)
SOME = AdapterConfig(rank=3, alpha=6.0, rank_stabilized=True, targets=("query", "value", "down"))


def adapted(twins: Any, config: ModelConfig, adapter: AdapterConfig = ADAPTER) -> Decoder:
    model: Decoder = twins.plain(config)
    add_adapters(model, adapter, 5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_b"):
                parameter.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


def saved(twins: Any, config: ModelConfig, folder: Path, adapter: AdapterConfig = ADAPTER) -> Decoder:
    model = adapted(twins, config, adapter)
    save_peft(model.state_dict(), config, adapter, folder, base="the/base")
    return model


def change(folder: Path, **fields: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("adapter", [ADAPTER, SOME], ids=["all", "some"])
def test_peft_reads_what_is_written_and_computes_and_merges_the_same(
    twins: Any, config: ModelConfig, ids: torch.Tensor, tmp_path: Path, adapter: AdapterConfig
) -> None:
    peft = pytest.importorskip("peft")
    model = saved(twins, config, tmp_path, adapter)
    theirs = peft.PeftModel.from_pretrained(twins.in_transformers(twins.plain(config)), tmp_path)
    assert theirs.peft_config["default"].base_model_name_or_path == "the/base"
    torch.testing.assert_close(theirs(ids).logits, model.logits(model(ids)), rtol=0, atol=1e-5)
    merge_adapters(model)
    expected = twins.in_transformers(model).state_dict()
    merged = theirs.merge_and_unload().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in merged.items())


@pytest.mark.parametrize("modules", [["q_proj", "down_proj"], r".*self_attn\.(k|v)_proj", "all-linear"])
def test_an_adapter_that_peft_made_and_trained_is_read(
    twins: Any, config: ModelConfig, ids: torch.Tensor, tmp_path: Path, modules: Any
) -> None:
    peft = pytest.importorskip("peft")
    plain = twins.plain(config)
    theirs = peft.get_peft_model(twins.in_transformers(plain), twins.peft_config(SOME, target_modules=modules))
    theirs(ids).logits.square().mean().backward()
    torch.optim.SGD([p for p in theirs.parameters() if p.requires_grad], lr=10.0).step()
    theirs.save_pretrained(tmp_path)
    before = plain.logits(plain(ids))
    load_peft(plain, tmp_path)
    assert is_adapted(plain)
    after = plain.logits(plain(ids))
    assert not torch.allclose(after, before, atol=1e-4)
    torch.testing.assert_close(after, theirs(ids).logits, rtol=0, atol=1e-5)


def test_an_adapter_goes_on_where_it_was(twins: Any, config: ModelConfig, tmp_path: Path) -> None:
    model, again = saved(twins, config, tmp_path), twins.plain(config)
    add_adapters(again, ADAPTER, 9)
    load_peft(again, tmp_path, ADAPTER)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())
    first = peft_digest(tmp_path)
    change(tmp_path, lora_alpha=7)
    assert peft_digest(tmp_path) != first


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_quantised_weights_are_known_again_also_from_their_rounded_selves(
    twins: Any, config: ModelConfig, tmp_path: Path, kind: Any
) -> None:
    adapter = ADAPTER.model_copy(update={"quantize": kind})
    model = saved(twins, config, tmp_path, adapter)
    rounded = Decoder(config)
    rounded.load_state_dict(base_state(model.state_dict()))
    for again in (twins.plain(config), rounded):
        add_adapters(again, adapter, 9)
        load_peft(again, tmp_path, adapter)
    plain = twins.plain(config)
    add_adapters(plain, ADAPTER, 9)
    load_peft(plain, tmp_path, ADAPTER)  # the weights as they were before they were quantised


@pytest.mark.parametrize("kind", ["none", "nf4"])
def test_other_weights_of_the_same_shape_are_refused(twins: Any, config: ModelConfig, tmp_path: Path, kind: Any) -> None:
    adapter = ADAPTER.model_copy(update={"quantize": kind})
    saved(twins, config, tmp_path, adapter)
    other = twins.plain(config, seed=2)
    add_adapters(other, adapter, 5)
    with pytest.raises(ArtifactError, match="trained beside other weights"):
        load_peft(other, tmp_path, adapter)


def test_another_adapter_than_the_recipes_is_refused_with_both_values(twins: Any, config: ModelConfig, tmp_path: Path) -> None:
    saved(twins, config, tmp_path)
    model = twins.plain(config)
    add_adapters(model, SOME, 5)
    with pytest.raises(ArtifactError) as raised:
        load_peft(model, tmp_path, SOME)
    text = str(raised.value)
    assert "rank: the adapter has 4, the recipe says 3" in text
    assert "alpha: the adapter has 6.5, the recipe says 6" in text
    assert "rank_stabilized: the adapter has false, the recipe says true" in text
    assert "targets: " in text


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"layers": 1}, "it has 2 layers, the model 1"),
        ({"layers": 3}, "blocks.2.attention.query.lora_a is missing"),
        ({"hidden": 32}, r"blocks.0.attention.query.lora_a has shape \(4, 64\), the model and r = 4 want \(4, 32\)"),
        ({"kv_heads": 4}, r"blocks.0.attention.key.lora_b has shape \(32, 4\), the model and r = 4 want \(64, 4\)"),
    ],
)
def test_a_model_of_another_shape_is_refused_by_name(
    twins: Any, config: ModelConfig, tmp_path: Path, update: dict[str, Any], reason: str
) -> None:
    saved(twins, config, tmp_path)
    with pytest.raises(ArtifactError, match=reason):
        read_peft(tmp_path, config.model_copy(update=update))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peft_type", "IA3"),
        ("r", 0),
        ("r", "four"),
        ("lora_alpha", None),
        ("bias", "all"),
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 2}),
        ("alpha_pattern", {"q_proj": 2}),
        ("fan_in_fan_out", True),
        ("layers_to_transform", [0]),
        ("init_lora_weights", "pissa"),
        ("trainable_token_indices", [3]),
        ("target_parameters", ["mlp.experts"]),
        ("lora_bias", True),
        ("some_field_to_come", 3),
    ],
)
def test_what_adapters_here_do_not_do_is_refused_by_field_and_value(
    twins: Any, config: ModelConfig, tmp_path: Path, field: str, value: Any
) -> None:
    saved(twins, config, tmp_path)
    change(tmp_path, **{field: value})
    with pytest.raises(ArtifactError, match=rf"(?m)^  {field}: got .*; ."):
        read_peft(tmp_path, config)


def test_tensors_elsewhere_than_in_a_layers_matrices_are_refused(twins: Any, config: ModelConfig, tmp_path: Path) -> None:
    saved(twins, config, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "base_model.model.lm_head.lora_A.weight": torch.zeros(4, 64)}, file)
    with pytest.raises(ArtifactError, match=r"lm_head.lora_A.weight: only mlp.down_proj, .* of a layer can have adapters"):
        read_peft(tmp_path, config)
    save_file({name: tensor for name, tensor in tensors.items() if ".1.mlp.up_proj.lora_B" not in name}, file)
    with pytest.raises(ArtifactError, match=r"blocks.1.mlp.up.lora_b is missing"):
        read_peft(tmp_path, config)
    save_file({name: tensor for name, tensor in tensors.items() if "q_proj" not in name}, file)
    with pytest.raises(ArtifactError, match="target_modules: names q_proj, of which the file has no tensor"):
        read_peft(tmp_path, config)
    save_file({}, file)
    with pytest.raises(ArtifactError, match="has no tensors"):
        read_peft(tmp_path, config)
    file.write_bytes(file.read_bytes()[:5])
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_peft(tmp_path, config)
    file.rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ArtifactError, match=r"adapter_model.bin holds pickled code"):
        read_peft(tmp_path, config)
    with pytest.raises(ArtifactError, match=r"adapter_model.safetensors is missing"):
        peft_digest(tmp_path)


def test_a_shape_without_a_class_in_transformers_is_not_written(twins: Any, config: ModelConfig, tmp_path: Path) -> None:
    odd = config.model_copy(update={"norm": "rmsnorm", "rotary_frac": 0.5, "qkv_bias": True})
    model = adapted(twins, odd)
    with pytest.raises(UsageError, match="transformers has no model"):
        save_peft(model.state_dict(), odd, ADAPTER, tmp_path)
