"""One of several processes that work together: `python ranks.py [RUNS]`, with torchrun's variables in the environment.

RUNS is a JSON list; without it, lists are read from standard input, a line each, until it ends. A run trains a tiny stage: it has
`out`, `steps`, `changes` to the tiny stage, and, where a test wants it, `signal_at` or `spoil_at`: [rank, step] of a SIGTERM to one
rank, or of a loss that is not a number there; `pause_at`: [rank, step, seconds] for which a rank is stopped, `silence_s` after
which it is named; `slow`: [rank, seconds] that a rank takes longer for each micro-batch. Or it has only `call`: [file, function],
which gets the world. At the end of a list every rank prints the outcomes, on one line.
`kill` is for torchrun, which starts again: it happens once (see `die`), `at` [rank, step].
"""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.slots import ram_folder
from pellucid.core.errors import PellucidError
from pellucid.model.decoder import Decoder
from pellucid.recipe.training import TrainStageConfig
from pellucid.train import heartbeat
from pellucid.train import stage as stage_module
from pellucid.train.device import Device
from pellucid.train.feed import MicroBatch, ObjectiveLoss
from pellucid.train.objectives import choose as choose_module
from pellucid.train.world import World, open_world

next_token = choose_module.next_token


def die(out: Path, kill: dict[str, Any]) -> None:
    """Wait until the snapshot of step `kept` has `manifests` in all, take what the kill is said to take, and go as kill -9 goes.

    `spoil` names a folder below the run's in RAM whose file of that step gets a flipped bit, `lose` one that is lost. `twin` is a
    second run in the state of this moment, as soon as it has the checkpoint of step `saved`; it has nothing in RAM.
    """
    mark, ram = out.parent / f"{out.name}-was-killed", ram_folder(out)
    if mark.exists():
        return
    kept: list[Path] = []
    while len(kept) < kill["manifests"]:
        kept = [file for file in ram.rglob("slot-*.json") if json.loads(file.read_text())["step"] == kill["kept"]]
        time.sleep(0.01)
    if "spoil" in kill:
        [file] = [file.with_suffix(".safetensors") for file in kept if file.is_relative_to(ram / kill["spoil"])]
        data = file.read_bytes()
        file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        shutil.rmtree(ram / kill["lose"])
    if "twin" in kill:
        while not (out / f"checkpoints/step-{kill['saved']:08d}/manifest.json").is_file():
            time.sleep(0.01)
        shutil.copytree(out, out.parent / kill["twin"])
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def run(world: World, job: dict[str, Any], tiny: Any) -> Any:
    """Do one run as this rank; `tiny` is what the tests' fixture of that name gives."""
    if "call" in job:
        file, function = job["call"]
        return runpy.run_path(file)[function](world)
    stage: TrainStageConfig = tiny.stage(job["steps"], **job["changes"])
    order = tiny.order()
    now, happened = {"step": -1}, set()
    read = DataOrder.sequences

    def sequences(self: DataOrder, first: int, count: int) -> Batch:
        now["step"] = first // stage.batch_seqs
        return read(self, first, count)

    def meet_fate() -> None:
        """What happens once, when this rank begins to compute a step."""
        if now["step"] in happened:
            return
        happened.add(now["step"])
        if job.get("signal_at") == [world.rank, now["step"]]:
            os.kill(os.getpid(), signal.SIGTERM)
        if job.get("pause_at", [])[:2] == [world.rank, now["step"]]:
            subprocess.Popen(["sh", "-c", f"sleep {job['pause_at'][2]}; kill -CONT {os.getpid()}"])
            os.kill(os.getpid(), signal.SIGSTOP)
        if "kill" in job and job["kill"]["at"] == [world.rank, now["step"]]:
            die(Path(job["out"]), job["kill"])

    def objective(model: Decoder, batch: MicroBatch, **options: Any) -> ObjectiveLoss:
        meet_fate()
        if job.get("slow", [])[:1] == [world.rank]:
            time.sleep(job["slow"][1])
        loss = next_token(model, batch, **options)
        if job.get("spoil_at") != [world.rank, now["step"]]:
            return loss
        return ObjectiveLoss(loss.loss_sum * float("nan"), loss.nats_B)

    model = tiny.model.model_copy(update=job.get("model", {}))
    with (
        patch.object(heartbeat, "SILENCE_S", job.get("silence_s", heartbeat.SILENCE_S)),
        patch.object(heartbeat, "INTERVAL_S", 0.5),
        patch.object(Device, "peak_flops", lambda _: (1e9, "not measured in tests")),
        patch.object(DataOrder, "sequences", sequences),
        patch.object(choose_module, "next_token", objective),
    ):
        try:
            return stage_module.run_stage(stage, model, order, 1, Path(job["out"]), world=world)
        except PellucidError as error:
            return {"error": type(error).__name__, "message": str(error)}


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import Tiny

    torch.set_num_threads(1)
    with open_world() as world:
        for jobs in sys.argv[1:] or sys.stdin:
            print(json.dumps([run(world, job, Tiny()) for job in json.loads(jobs)]), flush=True)


if __name__ == "__main__":
    main()
