from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.verify.evidence import Evidence
from pellucid.verify.lineage import check_lineage


def faults_of(run: Path) -> list[str]:
    return check_lineage(Evidence(run)).faults


def test_a_finished_run_is_what_its_recipe_makes(finished_run: Path) -> None:
    findings = check_lineage(Evidence(finished_run))
    assert findings.faults == [] and findings.looked > 30
    assert any("outside the run" in note and "documents" in note for note in findings.notes)


@pytest.mark.parametrize(
    ("folder", "other", "told"),
    [
        ("pretrain", {"seed": 2}, "seed: expected 1"),
        ("shards", {"inputs": {"documents": "0" * 64}}, "was made from another documents"),
        ("sft", {"inputs": {"checkpoint": "0" * 64}}, "was made from another checkpoint than pretrain/checkpoints/step-00000030"),
        ("self_knowledge", {"inputs": {"messages_from": "0" * 64}}, "was made from another messages_from"),
        ("exports", {"inputs": {"checkpoint": "0" * 64}}, "was made from another checkpoint than self_knowledge/checkpoints"),
        ("scores", {"inputs": {"checkpoint": "0" * 64}}, "was made from another checkpoint than pretrain/checkpoints"),
        ("benchmarks", {"inputs": {"self_knowledge": "0" * 64}}, "was made from another self_knowledge"),
        ("report", {"inputs": {"plan": "0" * 64}}, "was made from another plan than plan/manifest.json"),
        ("shards", {"config": {"shard_tokens": 4096}}, "config.shard_tokens: the recipe has"),
        ("documents", {"config": {"heldout_frac": 0.5}}, "config.heldout_frac: the recipe has"),
        ("exports", {"config": {"formats": ["hf"]}}, "config.formats: the recipe has"),
        ("scores", {"config": {"seq_tokens": 64}}, "config.seq_tokens: the recipe has"),
        ("pretrain", {"config": {"weights": {"chatterbot.en": 1.0}}}, "config.weights: not the mixture"),
        ("conversations", {"config": {"max_bytes": 1}}, "config.max_bytes: the recipe has"),
        ("tokenizer", {"config": {"vocab_tokens": 2048}}, "config.vocab_tokens: the recipe has 1024; got 2048"),
    ],
)
def test_an_artifact_of_another_recipe_or_of_other_artifacts_is_named(
    run_copy: Path, reseal: Callable[..., None], folder: str, other: dict[str, Any], told: str
) -> None:
    reseal(run_copy / folder, **other)
    mine = [line for line in faults_of(run_copy) if line.startswith(f"{run_copy / folder / 'manifest.json'} ")]
    assert len(mine) == 1 and told in mine[0], mine


def test_another_learning_rate_in_a_stages_settings_is_named(run_copy: Path, reseal: Callable[..., None]) -> None:
    stage = Evidence(run_copy).artifacts["dpo"].config["stage"]
    stage["schedule"]["peak_lr"] *= 2
    reseal(run_copy / "dpo", config={"stage": stage})
    assert any("dpo/manifest.json config.stage.schedule.peak_lr: the recipe has" in line for line in faults_of(run_copy))


def test_any_change_of_the_recipes_file_is_found(run_copy: Path) -> None:
    file = run_copy / "recipe.resolved.yaml"
    whole = file.read_text()
    for altered in (
        whole.replace("seed: 1\n", "seed: 2\n"),  # a value
        whole.replace("seed: 1\n", "seed: 1 \n"),  # a blank
        whole.replace("digest ", "digest  ", 1),  # the comment
        whole + "\n",
        "# " + whole,
    ):
        assert altered != whole
        file.write_text(altered)
        assert any(line.startswith(f"{file} was altered") for line in faults_of(run_copy)), altered[:60]
    file.write_text("name: [")
    assert any(str(file) in line for line in faults_of(run_copy))


def test_a_recipe_that_was_written_anew_is_not_the_one_of_the_ledger(run_copy: Path) -> None:
    from pellucid.recipe.resolved import resolved_text

    values = Evidence(run_copy).values
    (run_copy / "recipe.resolved.yaml").write_text(resolved_text({**values, "description": "another"}))
    said = faults_of(run_copy)
    assert any("is not the recipe of the last stage in ledger.jsonl" in line for line in said)
    assert any("plan/manifest.json config.description: the recipe has 'another'" in line for line in said)
