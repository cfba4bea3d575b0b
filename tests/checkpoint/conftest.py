"""Small models as other programs write them, transformers' own folders and GGUF files of our export; and ranks in one process."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

STABLELM = {
    "vocab_tokens": 608, "context_tokens": 64, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "mlp_hidden": 96,
    "norm": "layernorm", "norm_bias": True, "rotary_frac": 0.25, "qkv_bias": True, "tied_head": False,
}  # fmt: skip
LLAMA = {**STABLELM, "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False}
SHAPES = {
    "stablelm": STABLELM,
    "stablelm, no bias, tied, half rotated": {
        **STABLELM, "norm_bias": False, "qkv_bias": False, "tied_head": True, "rotary_frac": 0.5, "kv_heads": 4,
    },
    "llama": LLAMA,
    "stablelm, queries and keys normed": {**STABLELM, "qk_norm": True},
    "qwen3": {**LLAMA, "qk_norm": True},
    "llama, one key head, tied": {**LLAMA, "kv_heads": 1, "tied_head": True, "rotary_base": 100_000.0, "norm_eps": 1e-6},
}  # fmt: skip


def make_decoder(seed: int = 1, **shape: Any) -> Decoder:
    """A decoder with every weight, norms and biases too, drawn at random."""
    model = Decoder(ModelConfig(**{**STABLELM, **shape}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def make_theirs(kind: str, seed: int = 1, **changes: Any) -> Any:
    """A random model of transformers, `kind` "StableLm", "Llama" or "Qwen3", norms and biases away from where they begin."""
    transformers = pytest.importorskip("transformers")
    shape = {
        "vocab_size": 96, "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 48, "initializer_range": 0.2, **changes,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_bpe(probe_texts() * 2, 600)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """One model of each shape that both formats know."""
    return make_decoder(**request.param)


@pytest.fixture(scope="session")
def ours() -> Callable[..., Decoder]:
    return make_decoder


@pytest.fixture(scope="session")
def theirs() -> Callable[..., Any]:
    return make_theirs


@pytest.fixture
def hf_folder(tmp_path: Path) -> Path:
    """A tiny Llama in shards, for tests that damage it."""
    folder = tmp_path / "llama"
    make_theirs("Llama").save_pretrained(folder, max_shard_size="60KB")
    assert (folder / "model.safetensors.index.json").is_file()
    return folder


@pytest.fixture
def together() -> Callable[[int, Callable[[int, Any], Any]], list[Any]]:
    """Calls a function of rank and group in as many threads, each a process to gloo; returns what each returned."""

    def run(size: int, action: Callable[[int, Any], Any]) -> list[Any]:
        store = dist.HashStore()

        def one(rank: int) -> Any:
            return action(rank, dist.ProcessGroupGloo(store, rank, size, timedelta(seconds=60)))

        with ThreadPoolExecutor(size) as threads:
            return list(threads.map(one, range(size)))

    return run
