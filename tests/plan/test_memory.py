"""Memory against what a forward and a backward pass really hold."""

import copy
from typing import Any, get_args

import pytest
import torch

from pellucid.adapters.lora import add_adapters, trainable_parameters
from pellucid.model.decoder import Decoder, init_weights
from pellucid.plan.memory import LOGITS_CHUNK_ROWS, SHARDINGS, Checkpointing, activation_bytes, rank_memory
from pellucid.plan.parameters import count_adapter
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import read_preset
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import OptimizerConfig
from pellucid.recipe.tree import plain
from pellucid.recipe.tuning import AdapterConfig
from pellucid.train.device import Device, deterministic
from pellucid.train.loss import CHUNK_ROWS
from pellucid.train.measure import Workbench
from pellucid.train.recompute import checkpoint_activations


def held_bytes(config: ModelConfig, ids_BT: torch.Tensor, mode: Any, storage_watch: Any) -> tuple[int, int]:
    """Return the bytes alive after the forward pass, and the most at any moment of both passes."""
    model = Decoder(config)
    init_weights(model, 1)
    checkpoint_activations(model, mode)
    # Gradients are another kind of memory: they are there from the start.
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in model.parameters()]
    with storage_watch([*model.parameters(), *gradients, *model.buffers(), ids_BT]) as watch:
        x_BTD = model(ids_BT)
        after_forward = watch.live_bytes()
        x_BTD.sum().backward()
    return after_forward, watch.peak_bytes


def shape(name: str, **changes: Any) -> ModelConfig:
    """A preset's kind of block at two sizes that all of them have."""
    heads = {"heads": 4, "kv_heads": 4} if name == "pocket" else {"heads": 9, "kv_heads": 3}
    size = {"layers": 3, "vocab_tokens": 512, "hidden": 288, "mlp_hidden": 768, "context_tokens": 256}
    return ModelConfig.model_validate({**plain(read_preset(name)), **size, **heads, **changes})


@pytest.mark.parametrize("seq_tokens", [100, 256])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("name", ["pocket", "smollm2-135m"])
def test_activations_are_forecast_within_1_percent_kept_and_recomputed(
    name: str, qk_norm: bool, seq_tokens: int, storage_watch: Any
) -> None:
    config, ids_BT = shape(name, qk_norm=qk_norm), torch.randint(0, 512, (1024 // seq_tokens, seq_tokens))
    forecast, kept, peak = {}, {}, {}
    for mode in get_args(Checkpointing):
        forecast[mode] = activation_bytes(config, ids_BT.numel(), seq_tokens=seq_tokens, bf16=False, checkpointing=mode)
        kept[mode], peak[mode] = held_bytes(config, ids_BT, mode, storage_watch)
    assert forecast["none"] == pytest.approx(kept["none"], rel=0.01)
    # At its peak a backward pass holds gradients on their way too, the same ones with checkpointing and without.
    for mode in ("block", "selective"):
        assert forecast["none"] - forecast[mode] == pytest.approx(peak["none"] - peak[mode], rel=0.01)


@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
def test_a_stage_of_adapters_is_forecast_within_1_percent(pocket: Recipe, quantize: Any, storage_watch: Any) -> None:
    config, ids_BT = shape("smollm2-135m"), torch.randint(0, 512, (4, 256))
    adapter = AdapterConfig(rank=8, quantize=quantize, targets=("query", "value", "up", "down"))
    changes = {"adapter": adapter, "micro_seqs": 4, "seq_tokens": 256, "optimizer": OptimizerConfig(kind="adamw")}
    model = Decoder(config)
    init_weights(model, 1)
    add_adapters(model, adapter, 1)
    learnt = trainable_parameters(model)
    assert learnt == count_adapter(config, adapter)
    peaks, rows = {}, {}
    for mode in get_args(Checkpointing):
        again = copy.deepcopy(model)
        checkpoint_activations(again, mode)
        for parameter in again.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        gradients = [parameter.grad for parameter in again.parameters() if parameter.grad is not None]
        with storage_watch([*again.parameters(), *gradients, *again.buffers(), ids_BT]) as watch:
            x_BTD = again(ids_BT)
            kept = watch.live_bytes()
            x_BTD.sum().backward()
        stage = pocket.train[0].model_copy(update={**changes, "activation_checkpointing": mode})
        rows[mode], peaks[mode] = rank_memory(config, stage, 1, bf16=False)["none"], watch.peak_bytes
        if mode == "none":
            assert rows[mode]["activations"] == pytest.approx(kept, rel=0.01)
    for mode in ("block", "selective"):
        saved = rows["none"]["activations"] - rows[mode]["activations"]
        assert saved == pytest.approx(peaks["none"] - peaks[mode], rel=0.02)
    state = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert (rows["none"]["weights"], rows["none"]["gradients"], rows["none"]["moments"]) == (state, 4 * learnt, 8 * learnt)


def test_the_stages_own_choice_is_what_its_total_counts(stable_lm: Recipe) -> None:
    totals = {}
    for mode in get_args(Checkpointing):
        stage = stable_lm.train[0].model_copy(update={"activation_checkpointing": mode})
        totals[mode] = rank_memory(stable_lm.model, stage, 512, bf16=True)["zero1"]
    for mode, row in totals.items():
        assert totals["none"]["total"] == row["total_none"], mode
        assert row["total_selective"] == totals["selective"]["total"]
        assert row["total_checkpointed"] == totals["block"]["total"]
    assert totals["block"]["activations"] < totals["selective"]["activations"] < 0.7 * totals["none"]["activations"]


def test_stable_lm_2_fits_40_gb_with_micro_batch_2_and_no_recomputation_only_when_moments_are_spread(stable_lm: Recipe) -> None:
    memory = rank_memory(stable_lm.model, stable_lm.train[0], 512, bf16=True)
    assert memory["none"]["total"] > 42.3e9
    assert memory["zero1"]["total"] < 40e9


def test_tinyllama_fits_40_gb(tinyllama: Recipe) -> None:
    assert rank_memory(tinyllama.model, tinyllama.train[0], 16, bf16=True)["zero1"]["total"] < 42.3e9


def test_one_device_gains_nothing_from_sharding_and_many_do(pocket: Recipe) -> None:
    alone = rank_memory(pocket.model, pocket.train[0], 1, bf16=False)
    assert alone["none"] == alone["zero1"] == alone["full"]
    many = rank_memory(pocket.model, pocket.train[0], 8, bf16=False)
    totals = [many[name]["total"] for name in SHARDINGS]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == 3
    assert all(row["total_checkpointed"] < row["total"] for row in many.values())


def test_kinds_add_up_and_muon_keeps_one_moment_for_the_blocks(pocket: Recipe) -> None:
    stage = pocket.train[0]
    rows = {}
    for kind in ("adamw", "muon"):
        changed = stage.model_copy(update={"optimizer": stage.optimizer.model_copy(update={"kind": kind})})
        rows[kind] = rank_memory(pocket.model, changed, 1, bf16=False)["none"]
        kinds = ("weights", "gradients", "moments", "activations", "loss", "heap", "checkpoint", "overhead")
        assert rows[kind]["total"] == sum(rows[kind][one] for one in kinds) - rows[kind]["reused"]
    assert rows["adamw"]["moments"] == 2 * rows["adamw"]["weights"] > rows["muon"]["moments"]


def test_fsdp_keeps_a_rank_s_own_part_beside_what_it_gathers(stable_lm: Recipe) -> None:
    recipe = stable_lm
    stage, parameters = recipe.train[0], 4 * 1_644_515_328
    by_devices = {devices: rank_memory(recipe.model, stage, devices, bf16=False) for devices in (1, 8, 512)}
    assert {rows["weights"] for rows in by_devices[1].values()} == {parameters}
    assert by_devices[8]["none"]["weights"] == 2 * parameters
    assert by_devices[8]["zero1"]["weights"] == parameters + parameters // 8
    tables = 2 * 4 * 100_352 * 2048
    assert tables < by_devices[512]["full"]["weights"] < tables + 3 * (parameters - tables) // 24
    exact = rank_memory(recipe.model, stage.model_copy(update={"exact": True}), 8, bf16=False)["none"]
    assert exact["weights"] == parameters
    assert exact["gradients"] == 3 * parameters


@pytest.mark.parametrize(("name", "sequences", "micro_seqs"), [("pocket", 4, 4), ("pocket", 4, 2), ("smollm2-135m", 4, 2)])
def test_whole_steps_hold_what_is_forecast_within_5_percent(
    pocket: Recipe, name: str, sequences: int, micro_seqs: int, storage_watch: Any
) -> None:
    config = shape(name, vocab_tokens=2048)
    changes = {"micro_seqs": micro_seqs, "batch_tokens": sequences * 256, "seq_tokens": 256, "compile": "off"}
    stage = pocket.train[0].model_copy(update={**changes, "optimizer": OptimizerConfig(kind="adamw")})
    with deterministic(), storage_watch([]) as watch:
        Workbench(stage, config, Device(torch.device("cpu"), "fp32")).measure(
            micro_seqs, sequences // micro_seqs, warm_up=1, timed=1
        )
    row = rank_memory(config, stage, 1, bf16=False)["none"]
    assert (row["reused"] > 0) == (sequences == micro_seqs)
    once = row["heap"] + row["checkpoint"] + row["overhead"]
    assert row["total"] - once == pytest.approx(watch.peak_bytes, rel=0.05)


def test_what_is_copied_for_a_checkpoint_counts_where_training_is_in_the_host_s_own_memory(pocket: Recipe) -> None:
    stage = pocket.train[0]
    on_cpu, on_gpu = (rank_memory(pocket.model, stage, 1, bf16=bf16)["none"] for bf16 in (False, True))
    assert on_cpu["checkpoint"] == on_cpu["weights"] + on_cpu["moments"]
    assert on_gpu["checkpoint"] == on_gpu["overhead"] == on_gpu["heap"] == 0
    chunk_logits = 512 * pocket.model.vocab_tokens * 4
    assert on_cpu["overhead"] == 24 * 2**20 + 8 * chunk_logits
    bare = stage.model_copy(update={"curves": None, "samples": stage.samples.model_copy(update={"every_steps": 0})})
    assert rank_memory(pocket.model, bare, 1, bf16=False)["none"]["overhead"] == 24 * 2**20 + 2 * chunk_logits
    twice = stage.model_copy(update={"checkpoint": stage.checkpoint.model_copy(update={"memory_every_steps": 5})})
    assert rank_memory(pocket.model, twice, 1, bf16=False)["none"]["checkpoint"] == 2 * on_cpu["checkpoint"]
    adapted = stage.model_copy(update={"adapter": AdapterConfig(rank=8)})
    assert rank_memory(pocket.model, adapted, 1, bf16=False)["none"]["checkpoint"] < on_cpu["checkpoint"] / 4


def test_logits_are_counted_in_the_chunks_in_which_they_are_made() -> None:
    assert LOGITS_CHUNK_ROWS == CHUNK_ROWS
