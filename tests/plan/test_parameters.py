"""Parameter counts against the printed ones and against the decoder itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.model.decoder import Decoder
from pellucid.plan.parameters import count_adapter, count_parameters, matrix_shapes
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import read_preset
from pellucid.recipe.tree import plain
from pellucid.recipe.tuning import AdapterConfig

TOTALS = {"stable-lm-2-1.6b": 1_644_515_328, "tinyllama-1.1b": 1_100_048_384, "smollm2-135m": 134_515_008}


def preset(name: str) -> ModelConfig:
    return ModelConfig.model_validate(plain(read_preset(name)))


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_the_totals_are_the_known_ones(name: str, total: int) -> None:
    assert count_parameters(preset(name)).total == total


def test_the_printed_figure_of_stable_lm_2_lacks_the_biases_of_the_layers_norms() -> None:
    counted = count_parameters(preset("stable-lm-2-1.6b")).total
    assert counted - 24 * 2 * 2048 == 1_644_417_024


@st.composite
def shapes(draw: st.DrawFn) -> ModelConfig:
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    norm = draw(st.sampled_from(["layernorm", "rmsnorm"]))
    return ModelConfig(
        vocab_tokens=draw(st.integers(1, 99)),
        context_tokens=8,
        layers=draw(st.integers(1, 3)),
        hidden=heads * draw(st.sampled_from([4, 8])),
        heads=heads,
        kv_heads=kv_heads,
        mlp_hidden=draw(st.integers(1, 40)),
        norm=norm,
        norm_bias=norm == "layernorm" and draw(st.booleans()),
        rotary_frac=0.5,
        qkv_bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        tied_head=draw(st.booleans()),
    )


@given(shapes())
@settings(max_examples=30, deadline=None)
def test_the_count_is_that_of_the_decoder_part_by_part(config: ModelConfig) -> None:
    counted = count_parameters(config)
    parts = dict.fromkeys(("embedding", "attention", "mlp", "norms", "head"), 0)
    for name, parameter in Decoder(config).named_parameters():
        part = "norms" if "norm" in name else next(part for part in parts if part in name)
        parts[part] += parameter.numel()
    assert {part: getattr(counted, part) for part in parts} == parts
    assert counted.total == sum(parts.values())
    assert counted.multiplied == counted.total - (0 if config.tied_head else config.vocab_tokens * config.hidden)


@given(config=shapes())
@settings(max_examples=30)
def test_the_shapes_of_matrices_are_the_decoders(config: ModelConfig) -> None:
    block = Decoder(config).blocks[0]
    found = {name: module.weight.shape for part in (block.attention, block.mlp) for name, module in part.named_children()
             if isinstance(module, torch.nn.Linear)}  # fmt: skip
    assert found == matrix_shapes(config)
    every = AdapterConfig(rank=3)
    assert count_adapter(config, every) == config.layers * 3 * sum(map(sum, found.values()))
    assert count_adapter(config, every.model_copy(update={"targets": ("up", "up")})) == config.layers * 3 * sum(found["up"])
