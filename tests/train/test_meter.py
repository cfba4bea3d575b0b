import time

import pytest
import torch

from pellucid.model.decoder import Decoder
from pellucid.plan.flops import flops_per_token as plan_flops
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import preset_names, read_preset
from pellucid.recipe.tree import plain
from pellucid.train.meter import FORMULA, Stopwatch, flops_per_token


def test_laps_add_up_to_the_wall_time_and_start_anew() -> None:
    started = time.perf_counter()
    watch = Stopwatch()
    for phase in ("other", "data", "forward_backward", "optimizer", "data"):
        time.sleep(0.002)
        watch.lap(phase)
    elapsed = time.perf_counter() - started
    seconds = watch.collect()
    assert sum(seconds.values()) == pytest.approx(elapsed, abs=0.002)
    assert seconds["data"] > 0.003
    assert set(watch.collect().values()) == {0.0}


@pytest.mark.parametrize("name", preset_names())
def test_the_meter_counts_what_the_plan_counts_and_what_the_decoder_has(name: str) -> None:
    config = ModelConfig.model_validate(plain(read_preset(name)))
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in Decoder(config).parameters())
    for seq_tokens in (128, config.context_tokens):
        counted = flops_per_token(config, seq_tokens)
        both, only_6n = counted["mfu_with_attention"], counted["mfu_6n"]
        planned = plan_flops(config, seq_tokens)
        assert (both, only_6n, counted["mfu"]) == (planned["with_attention"], planned["six_n"], planned["matmul"])
        assert only_6n == 6 * parameters
        assert both == 6 * parameters + 12 * config.layers * config.hidden * seq_tokens


def test_every_derived_figure_names_its_formula() -> None:
    assert "6*layers*hidden*seq_tokens" in FORMULA["mfu"] and "cannot be avoided" in FORMULA["mfu"]
    assert "12*layers*hidden*seq_tokens" in FORMULA["mfu_with_attention"]
    assert "6*N" in FORMULA["mfu_6n"]
    assert {"tokens_per_s", "loss"} <= FORMULA.keys()
