"""The whole forecast."""

import orjson
import pytest

from pellucid.core.errors import RecipeError
from pellucid.plan.devices import device_named, planned_on
from pellucid.plan.plan import make_plan
from pellucid.recipe.recipe import Recipe


def test_stable_lm_2_is_forecast_as_its_report_says(stable_lm: Recipe) -> None:
    plan = make_plan(stable_lm)
    assert plan["parameters"]["total"] == 1_644_515_328
    assert plan["tokens"]["total"] == 2_009_831_803_933
    assert plan["stages"][0]["steps"] == 239_591
    assert plan["stages"][0]["accumulation_steps"] == 2
    assert plan["time"]["device_hours_six_n"] == pytest.approx(32_400, rel=0.01)
    assert plan["time"]["device_hours"] == pytest.approx(40_300, rel=0.01)
    assert plan["cost"]["usd"] == pytest.approx(plan["time"]["device_hours"] * 3.5)
    achieved = plan["stages"][0]["step"]["flops_per_device_s"]
    assert achieved["high"] < 170e12 < achieved["low"]
    assert achieved["likely"] == pytest.approx(170e12, rel=0.02)
    assert plan["stages"][0]["fit"]["fits"]
    sizes = {row["micro_seqs"]: row["fits"]["zero1"]["none"] for row in plan["stages"][0]["micro_batches"]}
    assert sizes == {1: True, 2: True, 4: False}
    assert plan["energy"]["kg_co2e"] == pytest.approx(plan["energy"]["kwh"] * 0.385)
    assert any("98 304" in note for note in plan["notes"])


def test_ranks_that_share_each_matrix_share_their_sequences_too(stable_lm: Recipe) -> None:
    first, *rest = stable_lm.train
    split = first.model_copy(update={"parallel": first.parallel.model_copy(update={"tensor_ways": 2})})
    plan = make_plan(stable_lm.model_copy(update={"train": (split, *rest)}))
    assert plan["stages"][0]["accumulation_steps"] == 4


def test_tinyllamas_24_thousand_tokens_a_second_are_inside_the_forecast_and_it_fits(tinyllama: Recipe) -> None:
    plan = make_plan(tinyllama)
    assert plan["parameters"]["total"] == 1_100_048_384
    speed = {case: value / 16 for case, value in plan["stages"][0]["step"]["tokens_per_s"].items()}
    assert speed["high"] < 24_000 < speed["low"]
    assert speed["likely"] == pytest.approx(24_000, rel=0.1)
    assert plan["stages"][0]["fit"]["fits"] and plan["stages"][0]["fit"]["needs_bytes"] < 40e9


def test_a_share_of_the_peak_that_the_recipe_gives_is_what_is_likely(tinyllama: Recipe) -> None:
    measured = tinyllama.model_copy(update={"plan": tinyllama.plan.model_copy(update={"achieved_flops_frac": 0.593})})
    step = make_plan(measured)["stages"][0]["step"]
    assert step["tokens_per_s"]["likely"] / 16 == pytest.approx(24_000, rel=1e-3)
    assert sum(step["parts_s"][name] for name in ("compute", "memory", "communication")) == pytest.approx(step["s"]["likely"])


def test_the_stable_keys_are_there_and_the_plan_is_json(pocket: Recipe, stable_lm: Recipe) -> None:
    for recipe in (pocket, stable_lm):
        plan = make_plan(recipe)
        again = orjson.loads(orjson.dumps(plan))
        assert again == plan
        assert again["parameters"]["total"] > 0
        assert again["tokens"]["total"] == sum(row["tokens"] for row in again["sources"])
        assert {"name", "weight", "tokens", "epochs", "category"} <= again["sources"][0].keys()


def test_parts_of_time_money_and_memory_agree(stable_lm: Recipe) -> None:
    plan = make_plan(stable_lm)
    stage = plan["stages"][0]
    assert plan["time"]["wall_s"] == pytest.approx(stage["step_s"] * stage["steps"])
    assert plan["time"]["wall_s"] == pytest.approx(plan["time"]["device_hours"] * 3600 / 512)


def test_tokens_of_shards_give_epochs(pocket: Recipe) -> None:
    counts = {source.name: 1_000 for source in pocket.sources}
    assert all(row["epochs"] is not None for row in make_plan(pocket, counts)["sources"])


def test_a_batch_that_does_not_divide_over_the_devices_does_not_fit(tinyllama: Recipe) -> None:
    plan = make_plan(planned_on(tinyllama, "3xH100"))
    assert not plan["stages"][0]["fit"]["fits"]
    assert any("cannot be dealt out evenly to 3 devices; " in note for note in plan["notes"])


def test_a_device_that_the_table_lacks_is_refused(pocket: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"plan\.device"):
        make_plan(pocket.model_copy(update={"plan": pocket.plan.model_copy(update={"device": "abacus"})}))


def test_bounds_are_in_order_and_hold_what_is_likely(pocket: Recipe, stable_lm: Recipe) -> None:
    for recipe in (pocket, stable_lm):
        plan = make_plan(recipe)
        keys = {"time": ("wall_s", "device_hours"), "cost": ("usd",), "energy": ("kwh", "kg_co2e")}
        for part, names in keys.items():
            for name in names:
                found = plan[part][f"{name}_range"]
                assert found["low"] <= found["likely"] == plan[part][name] <= found["high"]


def test_here_is_the_machine_that_is_given(pocket: Recipe) -> None:
    here = pocket.model_copy(update={"plan": pocket.plan.model_copy(update={"device": "here"})})
    machine = device_named("cpu-2-core").model_copy(update={"title": "an abacus", "peak_flops": 1e9})
    slow, usual = make_plan(here, here=machine), make_plan(here)
    assert slow["device"]["title"] == "an abacus" and slow["device"]["name"] == "here"
    assert slow["time"]["wall_s"] > 10 * usual["time"]["wall_s"]


def test_a_tuning_run_is_all_its_steps_and_not_one(zephyr: Recipe, uncounted: Recipe) -> None:
    plan = make_plan(zephyr)
    sft = plan["stages"][0]
    assert (sft["length_basis"], sft["steps"], plan["one_step_only"]) == ("at_most", 4846, [])
    assert plan["tokens"]["examples"] == sum(row["tokens"] for row in plan["stages"]) > 10e9
    assert plan["time"]["wall_s"] > 4800 * sft["step_s"]
    assert plan["flops"]["training"]["matmul"] > sft["tokens"] * sft["flops_per_token"]["matmul"]
    assert make_plan(uncounted)["one_step_only"] == ["sft", "dpo"]
