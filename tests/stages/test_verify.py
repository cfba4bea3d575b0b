import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.artifacts import Key, seal
from pellucid.core.files import write_json
from pellucid.core.ledger import Ledger
from pellucid.stages.verify import CHECKS, verify_run


def test_a_finished_run_holds_also_after_it_was_copied(run_copy: Path) -> None:
    result = verify_run(run_copy)
    assert result.faults == []
    assert "ledger.jsonl" in result.checked
    assert len(result.checked) == 1 + len(list(run_copy.glob("*/manifest.json")))
    assert [one.name for one in result.checks] == list(CHECKS)
    idle = {one.name for one in result.checks if not one.looked}
    assert idle == {"release", "plan"}


def test_deep_looks_at_more_and_still_holds(run_copy: Path) -> None:
    result = verify_run(run_copy, deep=True)
    assert result.faults == [] and next(one for one in result.checks if one.name == "plan").looked > 100


def test_checks_and_folders_can_be_left_out(run_copy: Path) -> None:
    (run_copy / "report" / "index.html").write_text("being written")
    (run_copy / "scores" / "heldout.json").unlink()
    result = verify_run(run_copy, without=("report", "scores", "exports"))
    assert not {"report", "scores", "exports"} & {one.name for one in result.checks}
    # A name that is a check's and a folder's is both: what is made is not looked at, nor the check made.
    assert "report" not in result.checked and "exports" in result.checked
    assert [line.split(" ")[0] for line in result.faults] == [str(run_copy / "scores" / "heldout.json")]


def test_a_missing_file_and_a_missing_ledger_are_named(run_copy: Path) -> None:
    (run_copy / "plan" / "plan.json").unlink()
    (run_copy / "ledger.jsonl").unlink()
    faults = verify_run(run_copy).faults
    assert any("plan.json is missing" in fault for fault in faults)
    assert any("ledger.jsonl is missing" in fault for fault in faults)


def test_a_missing_manifest_is_a_fault_unless_the_stage_is_being_built(run_copy: Path) -> None:
    for name in ("shards", "scores", "pretrain"):
        (run_copy / name / "manifest.json").unlink()
    (run_copy / "pretrain" / "building.json").write_text("{}")
    Ledger(run_copy).append("start", stage="pretrain", attempt=2)
    found = verify_run(run_copy)
    told = [line for line in found.faults if not line.startswith(str(run_copy / "report"))]
    assert [line.split(";")[0] for line in told] == [
        f"{run_copy / name / 'manifest.json'} is missing" for name in ("scores", "shards")
    ]
    assert "pretrain is still being made; its files were not looked at" in found.notes


def test_averages_are_checked_as_well(run_copy: Path) -> None:
    assert main(["average", str(run_copy), "--stage", "pretrain"]) == 0
    result = verify_run(run_copy)
    assert result.faults == []
    assert "averages/pretrain-last-2/step-00000030" in result.checked


def test_results_of_suites_are_checked_as_well(run_copy: Path, write_result: Callable[..., Path]) -> None:
    folder = write_result(run_copy / "evals" / "pretrain", "choices", "pocket", {"piqa": 0.5}, items=9)
    seal(folder, Key("suite", 1, 1, {}), summary={}, started=0.0)
    assert "evals/pretrain/choices" in verify_run(run_copy).checked and verify_run(run_copy).faults == []
    (folder / "items.jsonl").write_bytes((folder / "items.jsonl").read_bytes().replace(b"1.0", b"0.0", 1))
    first, *others = verify_run(run_copy).faults
    assert first.startswith(f"{folder / 'items.jsonl'} was altered")
    assert others and all(line.startswith(f"{folder / 'result.json'} tasks.piqa.metrics.acc.") for line in others)


def flip(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]


def delete(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + 1 :]


def insert(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + bytes([draw.randrange(256)]) + data[at:]


def empty(data: bytes, draw: random.Random) -> bytes:
    return b""


@pytest.mark.parametrize("change", [flip, delete, insert, empty])
def test_any_change_of_any_file_of_a_run_is_found_and_the_file_is_named(
    run_copy: Path, change: Callable[[bytes, random.Random], bytes]
) -> None:
    draw = random.Random(change.__name__)
    files = sorted(path for path in run_copy.rglob("*") if path.is_file() and path.name != ".lock")
    for file in [*draw.sample(files, 12), run_copy / "ledger.jsonl", run_copy / "recipe.resolved.yaml"]:
        whole = file.read_bytes()
        changed = change(whole, draw)
        if changed == whole:
            continue
        file.write_bytes(changed)
        faults = verify_run(run_copy).faults
        assert any(str(file) in line for line in faults), (file, faults)
        file.write_bytes(whole)
    assert verify_run(run_copy).faults == []


def test_in_a_release_that_goes_for_every_file_also_the_lists_themselves(run_copy: Path) -> None:
    (run_copy / ".lock").unlink(missing_ok=True)
    write_json(run_copy / "release.json", {"schema_version": 1, "name": "smoke", "left_out": []})
    names = sorted(path.relative_to(run_copy).as_posix() for path in run_copy.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256((run_copy / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (run_copy / "SHA256SUMS").write_text("".join(sums))
    assert verify_run(run_copy).faults == []
    draw = random.Random(5)
    own = ["SHA256SUMS", "release.json", "ledger.jsonl", "recipe.resolved.yaml"]
    for name in [*own, *own, *draw.sample(names, 8)]:
        file = run_copy / name
        whole = file.read_bytes()
        file.write_bytes(flip(whole, draw) if whole else b"x")
        assert any(str(file) in line for line in verify_run(run_copy).faults), name
        file.write_bytes(whole)
    for name in ("added", "plan/added", "new/added"):
        (run_copy / name).parent.mkdir(exist_ok=True)
        (run_copy / name).touch()
        assert any(str(run_copy / name) in line for line in verify_run(run_copy).faults), name
        (run_copy / name).unlink()
    for name in draw.sample(names, 5) + own[:2]:
        whole = (run_copy / name).read_bytes()
        (run_copy / name).unlink()
        assert any(str(run_copy / name) in line for line in verify_run(run_copy).faults), name
        (run_copy / name).write_bytes(whole)


def test_a_hostile_folder_is_told_of_and_nothing_of_it_is_followed(run_copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"left_out": []}')
    (run_copy / "release.json").symlink_to(secret)
    (run_copy / "shards" / "three-js.en" / "train" / "00000.bin").unlink()
    (run_copy / "shards" / "three-js.en" / "train" / "00000.bin").symlink_to(secret)
    os.mkfifo(run_copy / "conversations" / "pipe")
    (run_copy / "report" / "numbers.json").write_text("[" * 10_000)
    (run_copy / "a\x1b[2Jb\udcff").touch()
    faults = verify_run(run_copy, deep=True).faults
    assert any("release.json is a link" in line for line in faults)
    assert any("00000.bin is a link" in line for line in faults)
    assert any("pipe is no regular file" in line for line in faults)
    assert any("a\\x1b[2Jb\\udcff is not in any manifest" in line for line in faults)
    assert all(line.isprintable() for line in faults)
