"""Which micro-batches fit, and what would make a stage fit."""

import pytest

from pellucid.plan.devices import Device, device_named
from pellucid.plan.fitting import fit_of, micro_batch_rows, micro_batch_sizes
from pellucid.plan.memory import SHARDINGS, rank_memory
from pellucid.plan.roofline import Layout
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

A100, MANY = device_named("A100-40GB"), Layout(512, bf16=True)


def smaller(gigabytes: float) -> Device:
    return A100.model_copy(update={"memory_bytes": int(gigabytes * 1e9)})


def test_stable_lm_2_fits_with_micro_batch_2_and_not_with_4(stable_lm: Recipe) -> None:
    rows = micro_batch_rows(stable_lm.model, stable_lm.train[0], A100, MANY)
    assert [row["micro_seqs"] for row in rows] == [1, 2, 4]
    assert [row["accumulation_steps"] for row in rows] == [4, 2, 1]
    assert [row["fits"]["zero1"]["none"] for row in rows] == [True, True, False]
    assert rows[2]["fits"]["zero1"]["block"] and not rows[1]["fits"]["none"]["none"]
    for row in rows:
        assert row["activations"]["block"] < row["activations"]["selective"] < row["activations"]["none"]
        sized = stable_lm.train[0].model_copy(update={"micro_seqs": row["micro_seqs"]})
        memory = rank_memory(stable_lm.model, sized, 512, bf16=True)
        assert all(row["total"][shard]["none"] == memory[shard]["total"] for shard in SHARDINGS)


def test_rows_end_with_the_first_size_that_fits_in_no_way(stable_lm: Recipe) -> None:
    rows = micro_batch_rows(stable_lm.model, stable_lm.train[0], smaller(18), Layout(8, bf16=True))
    fit = [any(any(by_mode.values()) for by_mode in row["fits"].values()) for row in rows]
    assert fit.index(False) == len(rows) - 1


def test_sizes_divide_the_share_of_a_device(stable_lm: Recipe) -> None:
    assert micro_batch_sizes(stable_lm.train[0], 512) == [1, 2, 4]
    assert micro_batch_sizes(stable_lm.train[0], 300) == []
    odd = stable_lm.train[0].model_copy(update={"batch_tokens": 12 * 4096})
    assert micro_batch_sizes(odd, 1) == [1, 2, 3, 4, 6, 12]


@pytest.mark.parametrize(
    ("gigabytes", "fix"),
    [
        (36.0, "activation_checkpointing selective"),
        (29.0, "micro_seqs 1"),
        (23.0, "activation_checkpointing block"),
        (17.0, "with"),
    ],
)
def test_the_fewest_changes_come_first_and_what_is_proposed_fits(stable_lm: Recipe, gigabytes: float, fix: str) -> None:
    found = fit_of(stable_lm.model, stable_lm.train[0], smaller(gigabytes), MANY)
    assert not found["fits"] and found["needs_bytes"] > found["usable_bytes"] >= found["fixed_needs_bytes"]
    assert fix in found["fix"]


def test_where_nothing_else_helps_it_is_more_devices_then_another_kind(stable_lm: Recipe) -> None:
    two = fit_of(stable_lm.model, stable_lm.train[0], smaller(15), Layout(1, bf16=True))
    assert two["fix"] is not None and two["fix"].startswith("on 1024 devices with micro_seqs 2 with")
    none = fit_of(stable_lm.model, stable_lm.train[0], smaller(5), Layout(2048, bf16=True))
    assert none["fix"] is not None and none["fix"].startswith("a device with more memory, as ")
    huge = stable_lm.model.model_copy(update={"hidden": 2048 * 40, "mlp_hidden": 5632 * 40, "heads": 1280, "kv_heads": 1280})
    assert fit_of(huge, stable_lm.train[0], A100, Layout(2048, bf16=True))["fix"] is None


def with_parallel(stage: TrainStageConfig, **parallel: object) -> TrainStageConfig:
    return stage.model_copy(update={"parallel": stage.parallel.model_copy(update=parallel)})


@pytest.mark.parametrize(
    ("row", "devices", "ways", "fix"),
    [
        ("H100", 3, 1, "on 4 devices it"),
        ("H100", 4096, 1, "on 2048 devices it"),
        ("H100", 8, 16, "parallel.tensor_ways 1"),
        ("H100", 6, 4, "on 8 devices it"),
        ("L4", 3, 1, None),
    ],
)
def test_what_training_refuses_does_not_fit_and_no_such_layout_is_proposed(
    stable_lm: Recipe, row: str, devices: int, ways: int, fix: str | None
) -> None:
    stage = with_parallel(stable_lm.train[0], tensor_ways=ways)
    found = fit_of(stable_lm.model, stage, device_named(row), Layout(devices, bf16=True))
    assert found["refused"] is not None and not found["fits"]
    assert found["fix"] is not None
    if fix is not None:
        assert found["fix"].startswith(f"{fix} needs")
    else:
        assert stage.batch_seqs % int(found["fix"].split()[1]) == 0
    assert found["fixed_needs_bytes"] <= found["usable_bytes"]


def wide(stable_lm: Recipe) -> tuple[ModelConfig, TrainStageConfig]:
    """A model of three milliards whose weights outgrow its activations, and a batch of 24 sequences."""
    model = stable_lm.model.model_copy(update={"layers": 24, "hidden": 3072, "mlp_hidden": 8192, "heads": 24, "kv_heads": 24})
    stage = stable_lm.train[0].model_copy(
        update={"batch_tokens": 24 * 512, "seq_tokens": 512, "micro_seqs": 1, "activation_checkpointing": "block"}
    )
    return model, with_parallel(stage, shard="full")


@pytest.mark.parametrize(("devices", "size"), [(8, 3), (12, 2)])
def test_the_whole_share_at_once_is_found_where_less_needs_more(stable_lm: Recipe, devices: int, size: int) -> None:
    (model, stage), layout, device = wide(stable_lm), Layout(devices, bf16=True), device_named("L4")
    needs = {
        seqs: rank_memory(model, stage.model_copy(update={"micro_seqs": seqs}), devices, bf16=True)["full"]["total"]
        for seqs in (1, size)
    }
    assert needs[size] < device.usable_bytes < needs[1], "gradients that add up are whole on every rank"
    found = fit_of(model, stage, device, layout)
    assert found["fix"] is not None and found["fix"].startswith(f"micro_seqs {size} needs")
    rows = micro_batch_rows(model, stage, device, layout)
    assert [row["micro_seqs"] for row in rows] == [1, size]
    assert rows[-1]["fits"]["full"]["block"] and not any(any(row.values()) for row in rows[0]["fits"].values())


def test_the_leanest_of_fewer_devices_comes_before_more_of_them(stable_lm: Recipe) -> None:
    model, stage = wide(stable_lm)
    found = fit_of(model, stage, device_named("L4"), Layout(1, bf16=True))
    assert found["fix"] is not None and found["fix"].startswith("on 8 devices with micro_seqs 3 with")
