from dataclasses import dataclass

import pytest
import torch

from pellucid.export.parity import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

# Padding rows on purpose: 8 more than the tokenizer has ids.
SHAPE = {
    "vocab_tokens": 608, "context_tokens": 64, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 4, "mlp_hidden": 96,
    "norm": "layernorm", "norm_bias": True, "rotary_frac": 0.25, "qkv_bias": True, "tied_head": False, "init_std": 0.1,
}  # fmt: skip
LLAMA = {"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "kv_heads": 2}
SHAPES = {
    "stablelm": SHAPE,
    "stablelm without biases, grouped and tied": SHAPE | {"norm_bias": False, "qkv_bias": False, "kv_heads": 1, "tied_head": True},
    "llama, grouped": SHAPE | LLAMA,
    "llama, grouped and tied": SHAPE | LLAMA | {"tied_head": True},
    "stablelm, queries and keys normed, grouped": SHAPE | {"qk_norm": True, "kv_heads": 2},
    "qwen3, grouped": SHAPE | LLAMA | {"qk_norm": True},
    "qwen3, one key head and tied": SHAPE | LLAMA | {"qk_norm": True, "kv_heads": 1, "tied_head": True},
}


@dataclass
class Trained:
    """Stands for a checkpoint: every parameter, norms and biases too, is away from where it began."""

    model: Decoder

    @property
    def config(self):
        return self.model.config

    @property
    def state(self):
        return self.model.state_dict()


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_bpe(probe_texts() * 2, 600)


@pytest.fixture(scope="session", params=SHAPES.values(), ids=SHAPES)
def trained(request) -> Trained:
    return make_model(request.param)


@pytest.fixture(scope="session")
def stablelm() -> Trained:
    return make_model(SHAPE)


def make_model(shape):
    model = Decoder(ModelConfig(**shape))
    init_weights(model, 5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return Trained(model)
