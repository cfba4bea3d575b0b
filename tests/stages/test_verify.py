from collections.abc import Callable
from pathlib import Path

from pellucid.cli.main import main
from pellucid.core.artifacts import Key, seal
from pellucid.stages.verify import verify_run


def test_a_finished_run_holds_also_after_it_was_copied(run_copy: Path) -> None:
    result = verify_run(run_copy)
    assert result.faults == []
    assert "ledger.jsonl" in result.checked
    assert len(result.checked) == 15


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
