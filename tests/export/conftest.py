from dataclasses import dataclass

import pytest
import torch

from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.from_huggingface import import_huggingface
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
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

    def heads_flipped(self):
        """The same weights but that each layer's query heads stand in the opposite order: a planted fault."""
        state = self.state
        for layer in range(self.config.layers):
            name = f"blocks.{layer}.attention.query.weight"
            state[name] = state[name].view(self.config.heads, -1, self.config.hidden).flip(0).reshape(state[name].shape)
        return state


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_bpe(probe_texts() * 2, 600)


@pytest.fixture(scope="session", params=SHAPES.values(), ids=SHAPES)
def trained(request) -> Trained:
    return make_model(request.param)


@pytest.fixture(scope="session")
def stablelm() -> Trained:
    return make_model(SHAPE)


@pytest.fixture(scope="session")
def tied_stablelm() -> Trained:
    return make_model(SHAPES["stablelm without biases, grouped and tied"])


def make_model(shape):
    model = Decoder(ModelConfig(**shape))
    init_weights(model, 5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return Trained(model)


@pytest.fixture(scope="session")
def llama() -> Trained:
    return make_model(SHAPE | LLAMA | {"vocab_tokens": 704})


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """A SentencePiece vocabulary by Llama 2's rules, learnt from the probe texts."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("pieces")
    with (folder / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in probe_texts() for line in text.splitlines() if line.strip()),
            model_writer=file, model_type="bpe", vocab_size=700, byte_fallback=True, split_digits=True, minloglevel=2,
            normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1,
        )  # fmt: skip
    return import_sentencepiece(folder, None)


@pytest.fixture(scope="session", params=["gpt-2", "smollm"])
def published(request, tmp_path_factory):
    """A tokenizer.json as others publish them: GPT-2's split pattern, and SmolLM2's with single digits."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("json")
    pre = tokenizers.pre_tokenizers
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    steps = [pre.ByteLevel(add_prefix_space=False)]
    inner.pre_tokenizer = steps[0] if request.param == "gpt-2" else pre.Sequence([pre.Digits(individual_digits=True), *steps])
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    inner.train_from_iterator(probe_texts(), trainer)
    inner.save(str(folder / "tokenizer.json"))
    return import_huggingface(folder, None)
