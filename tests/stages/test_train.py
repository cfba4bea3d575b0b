import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.checkpoint.files import read_section
from pellucid.cli.main import main
from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.errors import PellucidWarning
from pellucid.stages.run_folder import weights_at

RECIPE = str(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_the_receipt_says_that_what_was_planned_was_consumed(finished_run: Path) -> None:
    receipt = json.loads((finished_run / "pretrain" / "receipt.json").read_text())
    assert receipt["planned"] == receipt["consumed"]
    assert receipt["consumed"]["tokens"] == 30_720
    assert sum(source["tokens"] for source in receipt["consumed"]["sources"].values()) == 30_720
    assert receipt["skipped_steps"] == []


def test_metrics_hold_what_people_look_for(finished_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_run / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    assert "peak_flops" in lines[0]["formula"]["mfu"]
    steps = [line for line in lines if "loss" in line]
    wanted = {
        "step",
        "tokens",
        "loss",
        "loss_by_source",
        "lr",
        "grad_norm",
        "tokens_per_s",
        "mfu",
        "memory_bytes",
        "seconds",
        "skipped",
    }
    assert all(wanted <= step.keys() for step in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_what_is_only_kept_or_shown_may_change_without_training_again(run_copy: Path) -> None:
    before = (run_copy / "pretrain" / "manifest.json").read_bytes()
    changes = ["--set", "train.0.checkpoint.keep_last=5", "--set", "train.0.activation_checkpointing=block"]
    assert main(["train", RECIPE, "--runs", str(run_copy.parent), *changes]) == 0
    assert (run_copy / "pretrain" / "manifest.json").read_bytes() == before


def test_another_rate_trains_again_and_sets_the_old_weights_aside(run_copy: Path) -> None:
    assert main(["train", RECIPE, "--runs", str(run_copy.parent), "--set", "train.0.schedule.peak_lr=1e-3"]) == 0
    assert find_faults(run_copy / "pretrain.superseded-1") == []
    assert read_manifest(run_copy / "pretrain").config["stage"]["schedule"]["peak_lr"] == 1e-3


def test_a_batch_that_cannot_be_dealt_out_is_refused_before_anything_is_set_aside(
    run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--set", "train.0.schedule.peak_lr=1e-3", "--set", "train.0.parallel.tensor_ways=2"]
    assert main(["train", RECIPE, "--runs", str(run_copy.parent), *changes]) == 2
    assert "parallel.tensor_ways is 2, and 1 processes were started" in " ".join(capsys.readouterr().err.split())
    assert not list(run_copy.glob("*.superseded-*")) and find_faults(run_copy / "pretrain") == []


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run_copy: Path) -> None:
    weights = run_copy / "pretrain" / "checkpoints" / "step-00000030" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.warns(UserWarning, match="damaged and passed over"):
        assert main(["train", RECIPE, "--runs", str(run_copy.parent)]) == 0
    assert weights.read_bytes() == good


STILL = ["--set", "train.0.schedule={peak_lr: 1e-30, warmup_steps: 0, cooldown_steps: 0}", "--set", "train.0.length_tokens=2048"]


def only_text(folder: Path, more: str = "") -> str:
    """The smoke recipe without its stages of conversations, which begin with what is tried here."""
    recipe = folder / "text.yaml"
    stages = "  sft: null\n  dpo: null\n  self_knowledge: null\n"
    recipe.write_text(f"extends: {RECIPE}\nname: pocket-smoke\ntrain:\n{stages}{more}")
    return str(recipe)


def train_from(run: Path, init_from: Path, *overrides: str) -> int:
    recipe = only_text(run.parent)
    return main(["train", recipe, "--runs", str(run.parent), *STILL, "--set", f"train.0.init_from={init_from}", *overrides])


def weights_of(run: Path, step: int, stage: str = "pretrain") -> dict[str, torch.Tensor]:
    return read_section(run / stage / "checkpoints" / f"step-{step:08d}", "model")[0]


@pytest.mark.parametrize("where", [".", "pretrain", "pretrain/checkpoints/step-00000030", "exports/hf"])
def test_a_stage_begins_with_the_weights_that_init_from_names(finished_run: Path, run_copy: Path, where: str) -> None:
    assert train_from(run_copy, finished_run / where) == 0
    # A run and its exports have the weights of its last stage.
    last = weights_at(finished_run / where if where.startswith("pretrain") else finished_run)
    ended, began = weights_of(run_copy, 2), read_section(last, "model")[0]
    assert ended.keys() == began.keys()
    assert all(torch.equal(tensor, began[name]) for name, tensor in ended.items())
    manifest = read_manifest(run_copy / "pretrain")
    assert manifest.inputs.keys() == {"tokenizer", "shards", "init_from"}
    assert manifest.summary["init_from"] == str(finished_run / where)


def test_the_same_weights_elsewhere_change_nothing_and_others_train_again(finished_run: Path, run_copy: Path) -> None:
    folder = run_copy.parent / "hf"
    shutil.copytree(finished_run / "exports" / "hf", folder)
    assert train_from(run_copy, folder) == 0
    before = (run_copy / "pretrain" / "manifest.json").read_bytes()
    moved = folder.rename(folder.with_name("moved"))
    assert train_from(run_copy, moved) == 0
    assert (run_copy / "pretrain" / "manifest.json").read_bytes() == before
    tensors = load_file(moved / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, moved / "model.safetensors")
    assert train_from(run_copy, moved) == 0
    assert (run_copy / "pretrain" / "manifest.json").read_bytes() != before
    assert torch.equal(weights_of(run_copy, 2)["norm.weight"], tensors["model.norm.weight"])


def test_init_from_wins_over_the_stage_before(finished_run: Path, run_copy: Path, tmp_path: Path) -> None:
    second = "  second: {length_tokens: 1024, batch_tokens: 1024, seq_tokens: 128, micro_seqs: 8, schedule: {peak_lr: 1e-30}}\n"
    recipe = only_text(tmp_path, second)
    average = run_copy.parent / "averages"
    assert main(["average", str(finished_run), "--stage", "pretrain"]) == 0
    shutil.move(finished_run / "averages", average)
    place = average / "pretrain-last-2" / "step-00000030"
    assert main(["train", str(recipe), "--runs", str(run_copy.parent)]) == 0
    assert read_manifest(run_copy / "second").inputs.keys() == {"tokenizer", "shards", "checkpoint"}
    assert torch.equal(weights_of(run_copy, 1, "second")["norm.weight"], weights_of(run_copy, 30)["norm.weight"])
    assert main(["train", str(recipe), "--runs", str(run_copy.parent), "--set", f"train.second.init_from={place}"]) == 0
    mean = read_section(place, "model")[0]["norm.weight"]
    assert torch.equal(weights_of(run_copy, 1, "second")["norm.weight"], mean)
    assert not torch.equal(mean, weights_of(run_copy, 30)["norm.weight"])


def test_weights_that_do_not_fit_or_are_not_there_are_errors(
    finished_run: Path, run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_from(run_copy, finished_run.parent / "nothing") == 2
    assert "nothing does not exist; weights can come from" in capsys.readouterr().err
    assert train_from(run_copy, run_copy) == train_from(run_copy, run_copy / "pretrain" / "checkpoints" / "step-00000030") == 2
    assert "which this stage makes itself" in capsys.readouterr().err
    assert find_faults(run_copy / "pretrain") == []
    for where in (".", "exports/hf", "exports/gguf/model-F16.gguf"):
        assert train_from(run_copy, finished_run / where, "--set", "model.layers=3") == 1
        text = capsys.readouterr().err
        assert "layers: the checkpoint has 2, the recipe says 3" in text
        assert "set model: {layers: 2}" in text
    assert find_faults(run_copy / "pretrain") == []
    assert not list(run_copy.glob("*superseded*"))


def test_token_ids_that_mean_something_else_to_the_weights_are_warned_of(finished_run: Path, run_copy: Path) -> None:
    folder = run_copy.parent / "hf"
    shutil.copytree(finished_run / "exports" / "hf", folder)
    values = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = values["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(values))
    with pytest.warns(PellucidWarning, match=r"2 of 1024 token ids stand for another token in .*hf/tokenizer\.json"):
        assert train_from(run_copy, folder) == 0
    (folder / "tokenizer.json").unlink()
    assert train_from(run_copy, folder, "--set", "seed=2") == 0


def test_a_run_with_another_tokenizer_is_warned_of(finished_run: Path, run_copy: Path) -> None:
    other = run_copy.parent / "other"
    shutil.copytree(finished_run, other)
    file = other / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text().replace("<|endoftext|>", "<|end|>"))
    with pytest.warns(PellucidWarning, match=r"1 of 1024 token ids stand for another token in .*other/tokenizer/tokenizer\.json"):
        assert train_from(run_copy, other) == 0
