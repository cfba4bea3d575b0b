"""Step times from counts and rates."""

import pytest

from pellucid.plan.devices import device_named
from pellucid.plan.roofline import Layout, step_bytes, step_flops, step_parts
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

A100 = device_named("A100-40GB")


def changed(recipe: Recipe, **parallel: object) -> TrainStageConfig:
    stage = recipe.train[0]
    return stage.model_copy(update={"parallel": stage.parallel.model_copy(update=parallel)})


def test_one_device_computes_everything_and_talks_to_nobody(stable_lm: Recipe) -> None:
    alone, many = (step_parts(stable_lm.model, stable_lm.train[0], A100, Layout(n, bf16=True))["likely"] for n in (1, 512))
    assert alone.communication_s == alone.hidden_s == 0
    assert alone.compute_s == pytest.approx(512 * many.compute_s)
    assert many.communication_s > 0


def test_without_communication_stable_lm_2_reaches_its_second_speed(stable_lm: Recipe) -> None:
    parts = step_parts(stable_lm.model, stable_lm.train[0], A100, Layout(512, bf16=True))["likely"]
    flops = 16_384 * 12_282_864_000
    assert flops / parts.total_s == pytest.approx(170e12, rel=0.02)
    assert flops / (parts.compute_s + parts.memory_s) == pytest.approx(200e12, rel=0.03)
    assert parts.bound == "compute"


def test_sharding_more_communicates_more_and_a_slow_link_becomes_the_bound(tinyllama: Recipe) -> None:
    layout, seconds = Layout(16, bf16=True), {}
    for shard in ("zero1", "none", "full"):
        parts = step_parts(tinyllama.model, changed(tinyllama, shard=shard), A100, layout)["high"]
        seconds[shard] = parts.communication_s
    assert seconds["zero1"] == pytest.approx(seconds["none"], rel=0.01), "an all-reduce is a reduction and a gathering"
    assert seconds["full"] > 4 * seconds["zero1"]
    slow = A100.model_copy(update={"network_bytes_per_s": 1e8})
    assert step_parts(tinyllama.model, changed(tinyllama, shard="full"), slow, layout)["likely"].bound == "communication"


def test_cases_are_in_order_and_parts_are_what_they_are_made_of(pocket: Recipe, stable_lm: Recipe) -> None:
    for recipe, bf16 in ((pocket, False), (stable_lm, True)):
        cases = step_parts(recipe.model, recipe.train[0], A100, Layout(recipe.plan.devices, bf16=bf16))
        assert cases["low"].total_s < cases["likely"].total_s < cases["high"].total_s


def test_recomputation_and_muon_add_work_and_adapters_spare_some(stable_lm: Recipe) -> None:
    stage, layout, config = stable_lm.train[0], Layout(512, bf16=True), stable_lm.model
    plain = step_flops(config, stage, layout)
    again = stage.model_copy(update={"activation_checkpointing": "block"})
    assert step_flops(config, again, layout) / plain == pytest.approx(1.29, abs=0.01)
    assert step_bytes(config, again, layout) > step_bytes(config, stage, layout)
    muon = stage.model_copy(update={"optimizer": stage.optimizer.model_copy(update={"kind": "muon"})})
    assert plain < step_flops(config, muon, layout) < 1.05 * plain


def test_tensor_parallelism_exchanges_activations(stable_lm: Recipe) -> None:
    layout = Layout(16, bf16=True)
    one, two = (step_parts(stable_lm.model, changed(stable_lm, tensor_ways=n), A100, layout)["likely"] for n in (1, 2))
    assert two.communication_s > one.communication_s


def test_micro_steps_count_a_smaller_last_one(stable_lm: Recipe) -> None:
    assert Layout(512, bf16=True).micro_steps(stable_lm.train[0]) == 2
    assert Layout(300, bf16=True).micro_steps(stable_lm.train[0]) == 4
