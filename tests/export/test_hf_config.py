import pytest

from pellucid.core.errors import UsageError
from pellucid.export.hf_config import hf_config
from pellucid.recipe.model import ModelConfig

SHAPE = {
    "vocab_tokens": 89, "context_tokens": 40, "layers": 2, "hidden": 32, "heads": 4, "kv_heads": 2, "mlp_hidden": 48,
    "norm": "layernorm", "norm_bias": True, "rotary_frac": 0.5, "rotary_base": 5e4, "qkv_bias": False, "tied_head": False,
}  # fmt: skip
LLAMA = {"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0}


def test_rotary_settings_are_nested_and_at_top_level():
    values = hf_config(ModelConfig(**SHAPE), {"eos_token_id": 7, "bos_token_id": 7})
    assert values["rope_parameters"] == {"rope_type": "default", "rope_theta": 5e4, "partial_rotary_factor": 0.5}
    assert (values["rope_theta"], values["partial_rotary_factor"], values["eos_token_id"]) == (5e4, 0.5, 7)


@pytest.mark.parametrize(
    ("changes", "model_type"),
    [({}, "stablelm"), ({"qk_norm": True}, "stablelm"), (LLAMA, "llama"), (LLAMA | {"qk_norm": True}, "qwen3")],
)
def test_every_value_reaches_the_config_of_the_class_that_it_names(changes, model_type):
    transformers = pytest.importorskip("transformers")
    values = hf_config(ModelConfig(**{**SHAPE, **changes}))
    assert values["model_type"] == model_type
    loaded = getattr(transformers, values["architectures"][0]).config_class(**values)
    kept = {name: getattr(loaded, name) for name in ("head_dim", "num_key_value_heads", "rope_parameters")}
    assert kept == {name: values[name] for name in kept}
    assert getattr(loaded, "qk_layernorm", False) == (changes == {"qk_norm": True})


def test_a_shape_without_a_class_is_refused():
    with pytest.raises(UsageError, match="transformers has no model with rmsnorm"):
        hf_config(ModelConfig(**{**SHAPE, **LLAMA, "qk_norm": True, "qkv_bias": True}))
