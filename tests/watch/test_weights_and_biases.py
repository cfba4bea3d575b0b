"""Runs written offline by wandb itself, read back with wandb's own messages, in a process without any network."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.protobuf import wire_fields
from pellucid.watch import weights_and_biases
from pellucid.watch.records import flat_values
from pellucid.watch.weights_and_biases import WandbTarget, read_history

pytest.importorskip("wandb")
CODE = """
import sys
from pathlib import Path
from pellucid.watch.follow import StageCopy
from pellucid.watch.weights_and_biases import WandbTarget
stage, folder = map(Path, sys.argv[1:])
copy = StageCopy(stage, folder / "memory.json", lambda number: WandbTarget(folder / "out", "pocket", f"pretrain-{number}"))
while copy.poll():
    pass
copy.close()
"""


def without_network() -> list[str]:
    """How to run a program that has no network at all, not even this machine's own; nothing where that cannot be done."""
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "--net", "true"], capture_output=True).returncode == 0:
        return [unshare, "--net"]
    return []


def copy(stage: Path, folder: Path) -> None:
    done = subprocess.run([*without_network(), sys.executable, "-c", CODE, str(stage), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def read(folder: Path) -> dict[int, dict[str, float]]:
    """Steps of all files, as wandb's own messages say; a step that is there twice is an error."""
    from wandb.proto import wandb_internal_pb2

    found: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob("out/wandb/offline-run-*/*.wandb")):
        for raw in weights_and_biases._records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(raw)
            if record.WhichOneof("record_type") == "history":
                values = {(item.key or ".".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
                step = values.pop("_step")
                assert step not in found
                found[step] = {name: value for name, value in values.items() if not name.startswith("_")}
    return found


def test_wandb_holds_every_value_of_the_metrics_and_a_restart_writes_no_step_twice(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 200)
    copy(written.folder, tmp_path)
    written.train(201, 230, figures={"margin": 0.25})
    copy(written.folder, tmp_path)
    found = read(tmp_path)
    for line in written.lines[1:]:
        assert found.pop(line["step"]) == {"tokens": line["tokens"]} | flat_values(line)
    assert not found
    assert len(list(tmp_path.glob("out/wandb/offline-run-*"))) == 2


def test_our_reading_of_its_files_is_its_own(training: Callable, tmp_path: Path) -> None:
    written = training().train(1, 120, figures={"a long name " * 30: 0.5})
    copy(written.folder, tmp_path)
    (file,) = tmp_path.glob("out/wandb/offline-run-*/*.wandb")
    assert file.stat().st_size > 2 * 32_768
    ours = {
        record["_step"]: {name: value for name, value in record.items() if not name.startswith("_")}
        for record in read_history(file)
    }
    assert ours == read(tmp_path)
    whole = file.read_bytes()
    for cut in (0, 3, 7, 1000, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert len(list(read_history(file))) <= 120


def test_nothing_of_this_machine_is_written(training: Callable, tmp_path: Path) -> None:
    copy(training().train(1, 3).folder, tmp_path)
    names = {path.name for path in tmp_path.glob("out/wandb/offline-run-*/files/*")}
    assert not names & {"requirements.txt", "wandb-metadata.json", "output.log"}
    kinds = set()
    for file in tmp_path.glob("out/wandb/offline-run-*/*.wandb"):
        kinds |= {number for raw in weights_and_biases._records(file.read_bytes()) for number, _ in wire_fields(memoryview(raw))}
    assert kinds


def test_a_run_only_goes_forward(tmp_path: Path) -> None:
    target = WandbTarget(tmp_path, "pocket", "pretrain")
    assert target.last_step == 0
    assert not target.rewind(3)
    target.close()
