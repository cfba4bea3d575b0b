import copy
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.adapters.lora import add_adapters, merged_state
from pellucid.batches.batch import IGNORE
from pellucid.checkpoint.files import load_checkpoint, read_section
from pellucid.checkpoint.models import load_model
from pellucid.core.errors import ArtifactError, DiskFullError, PellucidWarning, StoppedError, TrainingError
from pellucid.core.metrics import MetricsLog, read_metrics
from pellucid.model.decoder import Decoder
from pellucid.recipe.training import CheckpointConfig, OptimizerConfig, SamplesConfig, ScheduleConfig
from pellucid.recipe.tuning import AdapterConfig
from pellucid.train.device import Device
from pellucid.train.saver import Saver
from pellucid.train.stage import run_stage
from pellucid.train.state import TrainState

HERE = Path(__file__)
WEIGHTS = ("model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json")


def sample(model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    ids_BT = torch.tensor([list(prompt.encode())])
    for _ in range(new_tokens):
        ids_BT = torch.cat([ids_BT, model.logits(model(ids_BT))[:, -1].argmax(-1, keepdim=True)], dim=1)
    return bytes(ids_BT[0].tolist()).decode("latin-1")[len(prompt) :]


def quick_peak(_: Device) -> tuple[float, str]:
    return 1e9, "not measured in tests"


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "peak_flops", quick_peak)


def final(out: Path, steps: int) -> dict[str, bytes]:
    folder = out / "checkpoints" / f"step-{steps:08d}"
    return {name: (folder / name).read_bytes() for name in WEIGHTS}


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_metrics(out / "metrics.jsonl") if "event" not in line]


def test_a_stage_leaves_checkpoints_metrics_samples_and_a_receipt(tiny: Any, tmp_path: Path) -> None:
    stage = tiny.stage(12, samples=SamplesConfig(every_steps=6, prompts=("The",), new_tokens=4))
    summary = run_stage(stage, tiny.model, tiny.order(), 1, tmp_path, sample=sample)
    assert summary["checkpoint"] == "checkpoints/step-00000012"
    assert (summary["steps"], summary["tokens"], summary["skipped_steps"]) == (12, 12 * 128, 0)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step-00000010", "step-00000012"]
    assert [step for step, _ in losses(tmp_path)] == list(range(1, 13))
    assert [line["step"] for line in read_metrics(tmp_path / "samples.jsonl")] == [6, 12]
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert receipt["consumed"] == receipt["planned"]
    assert receipt["consumed"]["tokens"] == 12 * 128
    assert receipt["mean_loss_by_source"].keys() == {"law", "appendix"}
    assert receipt["mean_loss"] == pytest.approx(sum(loss for _, loss in losses(tmp_path)) / 12)
    model, meta = load_model(tmp_path / summary["checkpoint"])
    assert (meta["step"], meta["seed"], meta["stage"]["name"]) == (12, 1, "pretrain")
    assert model.config == tiny.model


def test_no_checkpoint_is_begun_before_the_lines_up_to_it_are_on_disk(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    begun: dict[int, int] = {}
    sync, save = MetricsLog.sync, Saver.save

    def note_sync(log: MetricsLog) -> None:
        sync(log)
        synced.append(max(step for step, _ in losses(tmp_path)))

    def note_save(saver: Saver, state: TrainState) -> None:
        begun[state.progress.step] = synced[-1]
        save(saver, state)

    monkeypatch.setattr(MetricsLog, "sync", note_sync)
    monkeypatch.setattr(Saver, "save", note_save)
    run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path)
    assert begun == {5: 5, 10: 10, 12: 12}


def test_a_finished_stage_run_again_trains_no_step(tiny: Any, tmp_path: Path) -> None:
    first = run_stage(tiny.stage(4), tiny.model, tiny.order(), 1, tmp_path)
    before = final(tmp_path, 4), losses(tmp_path)
    assert run_stage(tiny.stage(4), tiny.model, tiny.order(), 1, tmp_path) == first
    assert (final(tmp_path, 4), losses(tmp_path)) == before


def test_surplus_checkpoints_that_a_kill_left_at_the_very_end_are_dropped_by_the_next_call(tiny: Any, tmp_path: Path) -> None:
    for keep_last, left in ((3, ["step-00000005", "step-00000010", "step-00000012"]), (1, ["step-00000012"])):
        run_stage(
            tiny.stage(12, checkpoint=CheckpointConfig(every_steps=5, keep_last=keep_last)), tiny.model, tiny.order(), 1, tmp_path
        )
        assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == left


KINDS = [
    {"packing": "best_fit"},
    {"packing": "best_fit", "attention": "document"},
    {"attention": "cross_lingual", "lingual_parts": 4},
]


@pytest.mark.parametrize("keys", KINDS, ids=["packed", "packed documents", "cross-lingual"])
def test_every_kind_of_sequence_is_trained_resumed_to_the_same_bits_and_accounted_for(
    tiny: Any, tmp_path: Path, keys: dict[str, Any]
) -> None:
    stage = tiny.stage(12, **keys)
    for out in ("whole", "stopped"):
        run_stage(stage, tiny.model, tiny.order_of(stage), 1, tmp_path / out)
    stopped = tmp_path / "stopped"
    shutil.rmtree(stopped / "checkpoints" / "step-00000012")
    earlier = tiny.order(seed=9)
    run_stage(stage, tiny.model, tiny.order_of(stage), 1, stopped, earlier=lambda: [(earlier, 5)])
    assert final(tmp_path / "whole", 12) == final(stopped, 12)
    receipt = json.loads((tmp_path / "whole" / "receipt.json").read_text())
    order, sources = tiny.order_of(stage), receipt["consumed"]["sources"]
    assert receipt["order"]["packing"] == stage.packing and receipt["order"]["attention"] == stage.attention
    assert sum(source["tokens"] for source in sources.values()) == receipt["consumed"]["tokens"] == 12 * 128
    assert sum(receipt["target_tokens_by_source"].values()) == order.sequences(0, 48).target_tokens
    batch = order.sequences(0, 48)
    for number, name in enumerate(order.source_names):
        mine = batch.targets_BT.reshape(len(batch.source_B), -1)[batch.source_B == number]
        assert receipt["target_tokens_by_source"][name] == (mine != IGNORE).sum()
    assert receipt["mean_loss_by_source"].keys() == {"law", "appendix"}
    over_all = json.loads((stopped / "receipt.json").read_text())["run"]
    assert over_all["stages"] == 2
    assert over_all["sources"]["law"]["unique_tokens"] >= sources["law"]["seen_tokens"]


def test_the_next_stage_begins_with_the_weights_of_the_one_before(tiny: Any, tmp_path: Path) -> None:
    summary = run_stage(tiny.stage(4), tiny.model, tiny.order(), 1, tmp_path / "a")
    checkpoint = tmp_path / "a" / summary["checkpoint"]
    still = tiny.stage(1, schedule=ScheduleConfig(peak_lr=1e-30))
    run_stage(still, tiny.model, tiny.order(), 1, tmp_path / "b", init_from=checkpoint)
    assert (tmp_path / "b/checkpoints/step-00000001/model.safetensors").read_bytes() == (
        checkpoint / "model.safetensors"
    ).read_bytes()
    wider = tiny.model.model_copy(update={"mlp_hidden": 64})
    with pytest.raises(ArtifactError, match="mlp_hidden: the checkpoint has 48, the recipe says 64"):
        run_stage(still, wider, tiny.order(), 1, tmp_path / "c", init_from=checkpoint)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_and_the_same_call_ends_with_the_same_bits(
    tiny: Any, tmp_path: Path, number: int, status: int
) -> None:
    stage = tiny.stage(12, samples=SamplesConfig(every_steps=3, new_tokens=2))
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "whole", sample=sample)

    def interrupting(model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
        os.kill(os.getpid(), number)
        return sample(model, prompt, new_tokens=new_tokens, seed=seed)

    with pytest.raises(StoppedError, match="step-00000003") as raised:
        run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "cut", sample=interrupting)
    assert raised.value.exit_status == status
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "cut", sample=sample)
    assert final(tmp_path / "cut", 12) == final(tmp_path / "whole", 12)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert (tmp_path / "cut/samples.jsonl").read_bytes() == (tmp_path / "whole/samples.jsonl").read_bytes()


def test_activation_checkpointing_changes_no_bit_and_may_be_turned_on_between_two_parts(tiny: Any, tmp_path: Path) -> None:
    run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path / "none")
    run_stage(tiny.stage(12, activation_checkpointing="selective"), tiny.model, tiny.order(), 1, tmp_path / "selective")

    def interrupting(model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    often = SamplesConfig(every_steps=3, new_tokens=2)
    with pytest.raises(StoppedError, match="step-00000003"):
        run_stage(tiny.stage(12, samples=often), tiny.model, tiny.order(), 1, tmp_path / "block", sample=interrupting)
    run_stage(tiny.stage(12, activation_checkpointing="block"), tiny.model, tiny.order(), 1, tmp_path / "block")
    none = {name: data for name, data in final(tmp_path / "none", 12).items() if name.endswith("safetensors")}
    for mode in ("selective", "block"):
        assert losses(tmp_path / mode) == losses(tmp_path / "none")
        assert none.items() <= final(tmp_path / mode, 12).items()


@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
def test_a_stage_of_adapters_moves_nothing_else_and_resumes_to_the_same_bits(tiny: Any, tmp_path: Path, quantize: Any) -> None:
    run_stage(tiny.stage(4), tiny.model, tiny.order(), 1, tmp_path / "base")
    first = tmp_path / "base/checkpoints/step-00000004"
    adapter = AdapterConfig(rank=4, targets=("query", "value", "up", "down"), quantize=quantize)
    schedule, often = ScheduleConfig(peak_lr=3e-2, warmup_steps=3), SamplesConfig(every_steps=3, new_tokens=2)
    stage = tiny.stage(12, name="tuned", adapter=adapter, schedule=schedule, samples=often)
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "whole", init_from=first, sample=sample)

    def interrupting(model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return sample(model, prompt, new_tokens=new_tokens, seed=seed)

    with pytest.raises(StoppedError, match="step-00000003"):
        run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "cut", init_from=first, sample=interrupting)
    run_stage(stage, tiny.model, tiny.order(), 1, tmp_path / "cut", init_from=first, sample=sample)
    assert final(tmp_path / "cut", 12) == final(tmp_path / "whole", 12)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    trained = [loss for _, loss in losses(tmp_path / "whole")]
    assert trained[-1] < trained[0] - 0.1

    base, _ = load_model(first)
    again = copy.deepcopy(base)
    add_adapters(again, adapter, 0)
    state, meta = read_section(tmp_path / "whole/checkpoints/step-00000012", "model")
    assert meta["adapter"] == adapter.model_dump(mode="json")
    assert state.keys() == again.state_dict().keys()
    learnt = {name for name, parameter in again.named_parameters() if parameter.requires_grad}
    assert len(learnt) == 2 * 4 * tiny.model.layers
    assert all(torch.equal(state[name], tensor) for name, tensor in again.state_dict().items() if name not in learnt)
    plain, _ = load_model(tmp_path / "whole/checkpoints/step-00000012")
    expected = merged_state(state, adapter)
    assert plain.state_dict().keys() == base.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in plain.state_dict().items())
    start = next(line for line in read_metrics(tmp_path / "whole/metrics.jsonl") if line.get("event") == "start")
    assert start["parameters"] == sum(parameter.numel() for parameter in base.parameters())
    assert start["trained_parameters"] == sum(state[name].numel() for name in learnt)
    with pytest.raises(ArtifactError, match=r"adapter\.rank: the checkpoint has 4, now it is 8"):
        wider = stage.model_copy(update={"adapter": adapter.model_copy(update={"rank": 8})})
        run_stage(wider, tiny.model, tiny.order(), 1, tmp_path / "whole", init_from=first)


def test_a_damaged_newest_checkpoint_is_passed_over_and_the_end_is_the_same(tiny: Any, tmp_path: Path) -> None:
    run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path)
    whole = final(tmp_path, 12)
    file = tmp_path / "checkpoints/step-00000012/model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.warns(PellucidWarning, match=r"step-00000012/model\.safetensors was altered"):
        run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path)
    assert final(tmp_path, 12) == whole


def test_checkpoints_of_another_recipe_are_not_continued(tiny: Any, tmp_path: Path) -> None:
    run_stage(tiny.stage(2), tiny.model, tiny.order(), 1, tmp_path)
    with pytest.raises(ArtifactError, match="layers: the checkpoint has 2, the recipe says 1"):
        run_stage(tiny.stage(2), tiny.model.model_copy(update={"layers": 1}), tiny.order(), 1, tmp_path)
    with pytest.raises(ArtifactError, match="seed: the checkpoint has 1, now it is 2"):
        run_stage(tiny.stage(2), tiny.model, tiny.order(), 2, tmp_path)
    with pytest.raises(ArtifactError, match=r"optimizer\.kind: the checkpoint has adamw, now it is muon"):
        run_stage(tiny.stage(2, optimizer=OptimizerConfig(kind="muon")), tiny.model, tiny.order(), 1, tmp_path)
    with pytest.raises(ArtifactError, match=r"data\.seed: the checkpoint has 1, now it is 7"):
        run_stage(tiny.stage(2), tiny.model, tiny.order(seed=7), 1, tmp_path)
    run_stage(tiny.stage(2, checkpoint=CheckpointConfig(keep_last=1)), tiny.model, tiny.order(), 1, tmp_path)


def test_a_rate_that_blows_up_ends_the_run_and_leaves_finite_weights(tiny: Any, tmp_path: Path) -> None:
    stage = tiny.stage(
        40, max_bad_steps=2, schedule=ScheduleConfig(kind="constant", peak_lr=1e25), checkpoint=CheckpointConfig(every_steps=1)
    )
    with pytest.raises(TrainingError, match=r"2 steps in a row .* The last good checkpoint is .*step-") as raised:
        run_stage(stage, tiny.model, tiny.order(), 1, tmp_path)
    name = str(raised.value).split("last good checkpoint is ")[1].split(". Lower")[0]
    state, _ = load_checkpoint(Path(name))
    assert all(value.isfinite().all() for value in state["model"].values())
    assert [line["skipped"] for line in read_metrics(tmp_path / "metrics.jsonl") if "event" not in line][-2:] == [True, True]


def test_a_full_disk_ends_the_run_and_the_same_call_continues_it(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path / "whole")
    from pellucid.checkpoint import files

    saved = files.seal

    def seal(path: Path, *arguments: Any, **named: Any) -> Any:
        if "00000010" in path.name:
            raise OSError(28, "No space left on device")
        return saved(path, *arguments, **named)

    monkeypatch.setattr(files, "seal", seal)
    with pytest.raises(DiskFullError):
        run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut/checkpoints").iterdir()] == ["step-00000005"]
    monkeypatch.setattr(files, "seal", saved)
    run_stage(tiny.stage(12), tiny.model, tiny.order(), 1, tmp_path / "cut")
    assert final(tmp_path / "cut", 12) == final(tmp_path / "whole", 12)


def test_a_stage_runs_in_a_thread_where_signals_cannot_be_caught(tiny: Any, tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(run_stage(tiny.stage(1), tiny.model, tiny.order(), 1, tmp_path)))
    thread.start()
    thread.join()
    assert found[0]["steps"] == 1


def test_killed_at_any_moment_and_called_again_it_ends_with_the_same_bytes(tiny: Any, tmp_path: Path) -> None:
    """A process of its own is killed over and over: after random times, and at the n-th change it makes to the disk or to RAM."""
    answer = subprocess.run(
        [sys.executable, str(HERE), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    kills = json.loads(answer.stdout)
    assert kills["by_time"] >= 3
    assert kills["by_change"] >= 8
    assert kills["went_on_from_memory"] >= 2 and kills["went_on_from_disk"] >= 2
    assert final(tmp_path / "cut", 12) == final(tmp_path / "whole", 12)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name in ("samples.jsonl", "receipt.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def main(folder: Path) -> None:
    """Run the stage once undisturbed and once through kills, each run in a forked process, and print how often it was killed."""
    import random
    import shutil
    import time

    from pellucid.core.environment import code_version, environment

    # Paid once here instead of in every fork.
    torch.use_deterministic_algorithms(True, warn_only=True)
    code_version(), environment()
    Device.peak_flops = quick_peak  # type: ignore[method-assign]
    tiny = runpy.run_path(str(HERE.with_name("conftest.py")))["Tiny"]()
    choose = random.Random(5)
    kills = {"by_time": 0, "by_change": 0, "went_on_from_memory": 0, "went_on_from_disk": 0}
    os.environ["PELLUCID_MEMORY_DIR"] = str(folder)

    def attempt(out: Path, die_at_change: int | None = None, memory: int = 0) -> int:
        child = os.fork()
        if child:
            return child
        if die_at_change is not None:
            die_at_this_change(die_at_change)
        stage = tiny.stage(
            12,
            optimizer=OptimizerConfig(kind="muon"),
            checkpoint=CheckpointConfig(every_steps=2, memory_every_steps=memory),
            samples=SamplesConfig(every_steps=3, new_tokens=2),
        )
        run_stage(stage, tiny.model, tiny.order(), 1, out, sample=sample)
        os._exit(0)

    def logged() -> int:
        log = folder / "cut" / "metrics.jsonl"
        return log.read_bytes().count(b"\n") if log.is_file() else 0

    assert os.waitpid(attempt(folder / "whole"), 0)[1] == 0
    for number in range(200):
        if number % 4 == 0:
            lines = logged() + choose.randint(0, 3)
            child = attempt(folder / "cut", memory=number % 3)
            while logged() < lines and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.001)
            time.sleep(choose.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            kills["by_time"] += status == signal.SIGKILL
        else:
            status = os.waitpid(attempt(folder / "cut", choose.randint(1, 30), memory=number % 3), 0)[1]
            kills["by_change"] += status == signal.SIGKILL
        # The last line of a start that got that far: a later start may drop it.
        resumes = [line for line in read_metrics(folder / "cut" / "metrics.jsonl") if line.get("event") == "resume"]
        kills["went_on_from_memory"] += bool(resumes) and "memory_step" in resumes[-1]
        kills["went_on_from_disk"] += bool(resumes) and "checkpoint" in resumes[-1]
        if status == 0:
            if kills["by_time"] >= 3 and kills["by_change"] >= 8 and kills["went_on_from_memory"] >= 2:
                break
            shutil.rmtree(folder / "cut")  # it finished before it was killed often enough
    assert os.waitpid(attempt(folder / "cut"), 0)[1] == 0
    sys.stdout.write(json.dumps(kills))


def die_at_this_change(number: int) -> None:
    """Make the process kill itself instead of making its n-th call that flushes, renames or removes something."""
    import shutil

    left = [number]

    def deadly(call: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted

    os.fsync = deadly(os.fsync)
    Path.rename = deadly(Path.rename)  # type: ignore[method-assign]
    Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
    Path.unlink = deadly(Path.unlink)  # type: ignore[method-assign]
    shutil.rmtree = deadly(shutil.rmtree)  # type: ignore[assignment]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
