"""A tiny Llama and a tiny StableLM, ours and the same in transformers, and peft around the latter."""

from typing import Any

import pytest
import torch

from pellucid.export.hf_config import hf_config
from pellucid.model.decoder import Decoder, init_weights
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig

LLAMA = ModelConfig(
    vocab_tokens=96, context_tokens=64, layers=2, hidden=64, heads=4, kv_heads=2, mlp_hidden=128, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True,
)  # fmt: skip
STABLE = LLAMA.model_copy(update={"norm": "layernorm", "rotary_frac": 0.5, "qkv_bias": True, "tied_head": False})


@pytest.fixture(params=[LLAMA, STABLE], ids=["llama", "stablelm"])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return request.param


@pytest.fixture
def ids() -> torch.Tensor:
    # 70 positions: more than the fewest for which the CPU's own products are taken.
    return torch.randint(0, 96, (2, 35), generator=torch.Generator().manual_seed(0))


class Twins:
    """Makes the same model with the same adapters here and in peft."""

    @staticmethod
    def plain(config: ModelConfig, seed: int = 1) -> Decoder:
        model = Decoder(config)
        init_weights(model, seed)
        with torch.no_grad():
            # Biases and norms that do nothing would hide what is done with them.
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
        return model

    @staticmethod
    def in_transformers(model: Decoder) -> Any:
        transformers = pytest.importorskip("transformers")
        values = hf_config(model.config)
        kind = getattr(transformers, values["architectures"][0])
        theirs = kind(kind.config_class(**values))
        theirs.load_state_dict(to_hf(model.state_dict(), model.config), strict=not model.config.tied_head)
        return theirs.eval()

    @staticmethod
    def peft_config(adapter: AdapterConfig, **changes: Any) -> Any:
        peft = pytest.importorskip("peft")
        theirs = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
        values = {
            "r": adapter.rank,
            "lora_alpha": adapter.alpha,
            "use_rslora": adapter.rank_stabilized,
            "target_modules": [theirs.get(target, f"{target}_proj") for target in adapter.targets],
            "lora_dropout": 0.0,
            "bias": "none",
            "task_type": "CAUSAL_LM",
        }
        return peft.LoraConfig(**{**values, **changes})


@pytest.fixture
def twins() -> Twins:
    return Twins()
