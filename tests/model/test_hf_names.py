import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.hf_config import hf_config
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import architecture, from_hf, to_hf
from pellucid.recipe.model import ModelConfig


def config_of(norm: str = "layernorm", kv_heads: int = 2, **changes: object) -> ModelConfig:
    shape = {
        "vocab_tokens": 89,
        "context_tokens": 40,
        "layers": 2,
        "hidden": 32,
        "heads": 4,
        "kv_heads": kv_heads,
        "mlp_hidden": 48,
        "norm": norm,
        "norm_bias": norm == "layernorm",
        "rotary_frac": 0.5 if norm == "layernorm" else 1.0,
        "qkv_bias": False,
        "tied_head": False,
    }
    return ModelConfig(**{**shape, **changes})


def random_model(config: ModelConfig, seed: int = 0) -> Decoder:
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


CONFIGS = [
    config_of(qkv_bias=True),
    config_of(kv_heads=4),
    config_of(norm_bias=False, qkv_bias=True),
    config_of(tied_head=True, rotary_frac=0.25),
    config_of("rmsnorm"),
    config_of("rmsnorm", kv_heads=1, tied_head=True, rotary_base=100_000.0),
    config_of(qk_norm=True, rotary_frac=0.25),
    config_of(qk_norm=True, norm_bias=False, qkv_bias=True, kv_heads=1),
    config_of("rmsnorm", qk_norm=True),
    config_of("rmsnorm", kv_heads=4, qk_norm=True, tied_head=True, norm_eps=1e-2),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_logits_equal_transformers_at_random_weights(config: ModelConfig) -> None:
    transformers = pytest.importorskip("transformers")
    model = random_model(config)
    values = hf_config(config, {"eos_token_id": 1})
    oracle_class = getattr(transformers, values["architectures"][0])
    oracle = oracle_class(oracle_class.config_class(**values)).eval()
    missing, unexpected = oracle.load_state_dict(to_hf(model.state_dict(), config), strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if config.tied_head else set())
    oracle.tie_weights()
    ids_BT = torch.randint(config.vocab_tokens, (2, 37), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        ours, theirs = model.logits(model(ids_BT)), oracle(ids_BT).logits
    assert theirs.abs().max() > 0.5  # an all-zero head would prove nothing
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)

    back = Decoder(config)
    back.load_state_dict(from_hf(oracle.state_dict(), config))
    with torch.no_grad():
        assert torch.equal(back(ids_BT), model(ids_BT))


@settings(max_examples=25, deadline=None)
@given(
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    norm_bias=st.booleans(),
    qkv_bias=st.booleans(),
    qk_norm=st.booleans(),
    tied_head=st.booleans(),
    kv_heads=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_names_go_there_and_back_to_the_same_bits(
    norm: str, norm_bias: bool, qkv_bias: bool, qk_norm: bool, tied_head: bool, kv_heads: int, seed: int
) -> None:
    biases = {"norm_bias": norm_bias and norm == "layernorm", "qkv_bias": qkv_bias and norm == "layernorm"}
    config = config_of(norm, kv_heads, **biases, qk_norm=qk_norm, tied_head=tied_head)
    state = random_model(config, seed).state_dict()
    there = to_hf(state, config)
    back = from_hf(there, config)
    assert list(back) == list(from_hf(to_hf(back, config), config)) and back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    again = to_hf(back, config)
    assert again.keys() == there.keys() and all(torch.equal(again[name], there[name]) for name in there)


def test_norms_without_bias_are_written_with_zeros_and_read_back_without() -> None:
    config = config_of(norm_bias=False)
    there = to_hf(random_model(config).state_dict(), config)
    assert not there["model.layers.1.input_layernorm.bias"].any()
    there["model.norm.bias"] = torch.ones(config.hidden)
    with pytest.raises(ArtifactError, match=r"model\.norm\.bias is not zero.*norm_bias"):
        from_hf(there, config)


def test_a_tied_config_refuses_a_head_of_its_own() -> None:
    config = config_of(tied_head=True)
    there = to_hf(random_model(config).state_dict(), config)
    with pytest.raises(ArtifactError, match="differs from the embedding"):
        from_hf({**there, "lm_head.weight": torch.zeros_like(there["model.embed_tokens.weight"])}, config)


def test_missing_unknown_and_misshapen_tensors_are_named() -> None:
    config = config_of()
    there = to_hf(random_model(config).state_dict(), config)
    del there["lm_head.weight"]
    there["model.norm.weight"] = torch.zeros(3)
    there["surprise"] = torch.zeros(1)
    with pytest.raises(ArtifactError) as caught:
        from_hf(there, config)
    for part in ("lm_head.weight is missing", "surprise is unknown", "shape (3,), the config says (32,)"):
        assert part in str(caught.value)


def test_a_shape_that_transformers_cannot_compute_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rmsnorm, rotary_frac 0\.5"):
        architecture(config_of("rmsnorm", rotary_frac=0.5))
    config = config_of("rmsnorm", qkv_bias=True, qk_norm=True)
    state = random_model(config).state_dict()
    for refused in (to_hf, from_hf):
        with pytest.raises(UsageError, match=r"qkv_bias True and qk_norm True: .*Qwen3"):
            refused(state, config)


def test_each_heads_norm_is_a_module_of_transformers_own() -> None:
    config = config_of(qk_norm=True)
    state = random_model(config).state_dict()
    there = to_hf(state, config)
    ours_HC = state["blocks.1.attention.query_norm.weight"].view(4, 8)
    for head in range(4):
        assert torch.equal(there[f"model.layers.1.self_attn.q_layernorm.norms.{head}.weight"], ours_HC[head])
    assert "model.layers.1.self_attn.k_layernorm.norms.2.weight" not in there
    del there["model.layers.0.self_attn.k_layernorm.norms.1.weight"]
    with pytest.raises(ArtifactError, match=r"k_layernorm\.norms\.1\.weight is missing"):
        from_hf(there, config)
