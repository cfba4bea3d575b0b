from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.core.artifacts import fingerprint
from pellucid.stages.run_folder import final_checkpoint, open_recipe
from pellucid.verify.evidence import Evidence


def test_it_knows_a_run_as_those_do_who_made_it(finished_run: Path) -> None:
    evidence, recipe = Evidence(finished_run), open_recipe(finished_run)
    assert set(evidence.artifacts) == {path.parent.name for path in finished_run.glob("*/manifest.json")}
    assert evidence.recipe == recipe and evidence.recipe_fault is None and evidence.ledger_fault is None
    for stage in recipe.train:
        end = evidence.final_checkpoint(stage.name)
        assert end is not None and finished_run / end == final_checkpoint(finished_run, stage)
        assert evidence.fingerprint(end) == fingerprint(finished_run / end)
    assert len(evidence.events) == len((finished_run / "ledger.jsonl").read_bytes().splitlines())


def test_what_is_damaged_is_said_once_and_stands_in_nobodys_way(run_copy: Path) -> None:
    (run_copy / "plan" / "manifest.json").write_text("[]")
    (run_copy / "recipe.resolved.yaml").write_bytes(b"\xff")
    lines = (run_copy / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (run_copy / "ledger.jsonl").write_bytes(b"".join([*lines[:3], *lines[4:]]))
    evidence = Evidence(run_copy)
    assert "plan" not in evidence.artifacts and "is not a Pellucid manifest" in evidence.damaged["plan"]
    assert evidence.recipe is None and evidence.training == () and "UTF-8" in str(evidence.recipe_fault)
    assert len(evidence.events) == 3 and "ledger.jsonl, line 4 " in str(evidence.ledger_fault)


def test_a_stages_end_leads_nowhere_else(run_copy: Path, reseal: Callable[..., None]) -> None:
    reseal(run_copy / "sft", summary={"checkpoint": "../../../etc"})
    assert Evidence(run_copy).final_checkpoint("sft") is None


def test_a_release_says_what_it_lacks(run_copy: Path, release: Callable[..., Path]) -> None:
    assert not Evidence(run_copy).is_release
    name = "pretrain/checkpoints/step-00000020/optimizer.safetensors"
    evidence = Evidence(release(run_copy, [name]))
    assert evidence.is_release and evidence.is_left_out(name) and not evidence.is_left_out("plan/plan.json")


def test_a_list_that_is_none_leaves_nothing_out(run_copy: Path, rewrite: Callable[..., None]) -> None:
    for value in ([1], [{"path": 3}], "text", None):
        (run_copy / "release.json").write_text("{}")

        def change(told: dict[str, Any], value: Any = value) -> None:
            told["left_out"] = value

        rewrite(run_copy / "release.json", change)
        assert Evidence(run_copy).left_out == {}
