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


def test_tensor_parallelism_over_machines_goes_through_their_network(stable_lm: Recipe) -> None:
    layout, model = Layout(32, bf16=True), stable_lm.model
    seconds = {
        ways: step_parts(model, changed(stable_lm, shard="none", tensor_ways=ways), A100, layout)["high"].communication_s
        for ways in (1, 8, 16, 32)
    }
    assert A100.devices_per_node == 8 and A100.network_bytes_per_s < A100.link_bytes_per_s / 5
    tokens, size = stable_lm.train[0].batch_tokens, model.hidden * 2
    # Two machines: half of each output comes in over the network, 4 times in each layer, and twice for an all-reduce.
    exchanged = 4 * model.layers * 2 * tokens / 2 * size / 2 / A100.network_bytes_per_s
    assert seconds[16] > exchanged > seconds[8]
    # All 32 at work on one sequence have no gradients to exchange at all.
    assert seconds[32] == pytest.approx(4 * model.layers * 2 * tokens * size * 3 / 4 / A100.network_bytes_per_s)


def test_ranks_that_hold_a_part_of_a_block_exchange_no_more_than_that(stable_lm: Recipe) -> None:
    model, stage = stable_lm.model, stable_lm.train[0].model_copy(update={"batch_tokens": 16 * 4096})
    # A link without end leaves the exchange of gradients between machines, and none of activations.
    device = A100.model_copy(update={"link_bytes_per_s": 1e18})
    few = stage.model_copy(update={"parallel": stage.parallel.model_copy(update={"shard": "none", "tensor_ways": 8})})
    found = step_parts(model, few, device, Layout(16, bf16=True))["high"].communication_s
    outside = 2 * model.vocab_tokens * model.hidden * 4
    blocks = (1_644_515_328 * 4 - outside) / 8
    # Eight groups of two, one on each machine, share its network.
    assert found == pytest.approx(2 * 8 * (outside + blocks) / 2 / device.network_bytes_per_s, rel=1e-6)


def test_without_tensor_parallelism_a_machine_is_one_link_and_one_network(stable_lm: Recipe) -> None:
    stage = changed(stable_lm, shard="none")
    for devices, seconds in ((8, 7 / 8 / A100.link_bytes_per_s), (16, 1 / 2 / A100.network_bytes_per_s)):
        found = step_parts(stable_lm.model, stage, A100, Layout(devices, bf16=True))["high"].communication_s
        assert found == pytest.approx(2 * 1_644_515_328 * 4 * max(seconds, 7 / 8 / A100.link_bytes_per_s))
