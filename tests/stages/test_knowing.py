"""A stage of self-knowledge in a run: its data, what it is made from, and what was asked before and after."""

from pathlib import Path

from pellucid.core.artifacts import read_manifest
from pellucid.core.files import read_json, sha256_file
from pellucid.recipe.load import load_recipe
from pellucid.stages.knowing import knowledge_inputs
from pellucid.stages.run_folder import training_stage
from pellucid.stages.stage import Context

ROOT = Path(__file__).parents[2]


def test_facts_and_the_model_of_first_messages_are_inputs_of_the_stage(finished_run: Path) -> None:
    loaded = load_recipe(ROOT / "recipes" / "pocket-smoke.yaml")
    stage = training_stage(loaded.recipe, "self_knowledge")
    inputs = knowledge_inputs(stage, Context(loaded, finished_run))
    assert inputs["facts"] == sha256_file(ROOT / "recipes" / "self_knowledge.yaml")
    recorded = read_manifest(finished_run / "self_knowledge").inputs
    assert {name: recorded[name] for name in inputs} == inputs


def test_the_same_questions_are_asked_before_and_after(finished_run: Path) -> None:
    asked = read_json(finished_run / "self_knowledge" / "self_knowledge.json")
    before, after = asked["before"], asked["after"]
    assert before["step"] == 0 < after["step"]
    questions = [[answer["question"] for answer in moment["heldout"]["answers"]] for moment in (before, after)]
    assert questions[0] == questions[1] and len(questions[0]) >= 10
    assert before["leak"]["answers"] == after["leak"]["answers"] > 0


def test_the_questions_of_the_facts_file_are_positives_themselves(finished_run: Path) -> None:
    account = read_json(finished_run / "self_knowledge" / "data" / "funnel.json")
    assert account["examples"]["train"]["shot positive"] > 0
