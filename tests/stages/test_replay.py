import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from pellucid.core.artifacts import read_manifest
from pellucid.core.attempts import read_attempts
from pellucid.core.errors import UsageError
from pellucid.core.files import write_json
from pellucid.recipe.resolved import open_recipe
from pellucid.stages.replay import Start, replay, starts_of


def digests(run: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime)
        for path in run.rglob("*")
        if path.is_file() and path.name != "ledger.jsonl"
    }


def change_line(file: Path, step: int, **fields: Any) -> None:
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    next(line for line in lines if line["step"] == step and "event" not in line).update(fields)
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def test_a_replay_may_begin_where_weights_were_kept_or_come_from_the_run(finished_run: Path) -> None:
    starts = starts_of(finished_run, open_recipe(finished_run))
    assert [(one.stage, one.step) for one in starts if one.checkpoint is None] == [
        (name, 0) for name in ("pretrain", "sft", "dpo", "self_knowledge")
    ]
    kept = finished_run / "pretrain" / "checkpoints" / "step-00000020"
    assert Start("pretrain", 20, kept) in starts and not any(one.step == 30 for one in starts)


@pytest.mark.parametrize("stage", ["pretrain", "sft", "dpo", "self_knowledge"])
def test_every_stage_gives_the_same_bits_again_in_a_copied_folder_that_nothing_is_written_into(run_copy: Path, stage: str) -> None:
    before, threads = digests(run_copy), torch.get_num_threads()
    found = replay(run_copy, 50, stage=stage, step=0)
    last = read_manifest(run_copy / stage).summary["steps"]
    assert found.faults == [] and found.steps == last and found.values >= 7 * last
    assert found.checkpoints[-1] == f"step-{last:08d}"
    assert found.notes[0] == f"{stage} has {last} steps: {last} were left to be trained again"
    assert digests(run_copy) == before and torch.get_num_threads() == threads
    assert [(one.stage, one.outcome) for one in read_attempts(run_copy)][-1] == ("verify", "end")


def test_it_goes_on_from_a_checkpoint_and_the_seed_decides_from_which(run_copy: Path) -> None:
    found = replay(run_copy, 3, stage="pretrain", step=20)
    assert (found.from_step, found.steps, found.values, found.checkpoints, found.faults) == (20, 3, 21, [], [])
    one, same = (replay(run_copy, 1, seed=4) for _ in range(2))
    assert (one.stage, one.from_step) == (same.stage, same.from_step) and one.faults == []


def test_one_bit_in_a_recorded_figure_is_found(run_copy: Path) -> None:
    file = run_copy / "pretrain" / "metrics.jsonl"
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    loss = next(line for line in lines if line["step"] == 22)["loss"]
    change_line(file, 22, loss=torch.nextafter(torch.tensor(loss, dtype=torch.float64), torch.tensor(9.0)).item())
    (fault,) = replay(run_copy, 3, stage="pretrain", step=20).faults
    assert fault.startswith(f"{file}: step 22: loss: recorded {loss:.6}"[: len(str(file)) + 30]) and "trained again" in fault


def test_data_that_were_altered_give_other_bits(run_copy: Path) -> None:
    for shard in (run_copy / "shards").glob("*/train/00000.bin"):
        tokens = bytearray(shard.read_bytes())
        tokens[0:-4:2] = bytes(len(tokens[0:-4:2]))
        shard.write_bytes(tokens)
    found = replay(run_copy, 10, stage="pretrain", step=20)
    assert any("step 21: loss: recorded" in line for line in found.faults)
    assert any("step-00000030/model.safetensors: trained again, the bytes are others" in line for line in found.faults)
    assert len(found.faults) <= 11


def test_another_machine_is_told_before(run_copy: Path) -> None:
    manifest = run_copy / "sft" / "manifest.json"
    told = orjson.loads(manifest.read_bytes())
    told["environment"]["processor"] = "Another"
    told.pop("sha256")
    write_json(manifest, told)
    file = run_copy / "sft" / "metrics.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"torch":"', b'"torch":"0.', 1).replace(b'"ranks":1', b'"ranks":2', 1))
    notes = replay(run_copy, 1, stage="sft", step=0).notes
    assert any(note.startswith("processor: trained with Another; here ") for note in notes)
    assert any(note.startswith("torch: trained with 0.") for note in notes) and "processes: trained with 2; here 1" in notes


def test_what_there_is_not_is_named_with_what_there_is(run_copy: Path) -> None:
    with pytest.raises(UsageError, match=r"--stage sft --step 77: .* pretrain 0, pretrain 20, sft 0"):
        replay(run_copy, 3, stage="sft", step=77)
    with pytest.raises(UsageError, match="must be at least 1"):
        replay(run_copy, 0)
    shutil.rmtree(run_copy / "pretrain" / "checkpoints")
    starts = [(one.stage, one.step) for one in starts_of(run_copy, open_recipe(run_copy))]
    assert ("pretrain", 0) in starts and ("sft", 0) not in starts and ("pretrain", 20) not in starts


def test_weights_from_elsewhere_are_no_place_to_begin(run_copy: Path, tmp_path: Path) -> None:
    recipe = open_recipe(run_copy)
    elsewhere = recipe.train[0].model_copy(update={"init_from": "../elsewhere"})
    starts = starts_of(run_copy, recipe.model_copy(update={"train": (elsewhere, *recipe.train[1:])}))
    assert ("pretrain", 0) not in [(one.stage, one.step) for one in starts] and any(one.stage == "pretrain" for one in starts)
