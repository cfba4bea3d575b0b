"""Which micro-batches fit, and what would make a stage fit."""

import pytest

from pellucid.plan.devices import Device, device_named
from pellucid.plan.fitting import fit_of, micro_batch_rows, micro_batch_sizes
from pellucid.plan.memory import SHARDINGS, rank_memory
from pellucid.plan.roofline import Layout
from pellucid.recipe.recipe import Recipe

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
    assert two["fix"] is not None and "devices with micro_seqs 1" in two["fix"]
    none = fit_of(stable_lm.model, stable_lm.train[0], smaller(5), Layout(2048, bf16=True))
    assert none["fix"] is not None and none["fix"].startswith("a device with more memory, as ")
    huge = stable_lm.model.model_copy(update={"hidden": 2048 * 40, "mlp_hidden": 5632 * 40, "heads": 1280, "kv_heads": 1280})
    assert fit_of(huge, stable_lm.train[0], A100, Layout(2048, bf16=True))["fix"] is None
