"""The schema that editors complete with."""

import json
from pathlib import Path

import pytest

from pellucid.recipe.read import is_study
from pellucid.recipe.schema import SCHEMA_FILE, STUDY_SCHEMA_FILE, json_schema, study_schema, write_schemas
from pellucid.recipe.tree import Stamp, parse_yaml, plain

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.yaml") if path.stem != "self_knowledge")  # a recipe's facts


def test_the_shipped_files_are_the_generated_ones(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    for file in (SCHEMA_FILE, STUDY_SCHEMA_FILE):
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), "run: python -m pellucid.recipe.schema"


def test_every_field_and_section_has_a_description() -> None:
    recipe, study = json_schema(), study_schema()
    sections = {"recipe": recipe, **recipe["$defs"], "study": study, **study["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, field in section["properties"].items()
        if "description" not in field and "$ref" not in field
    ]
    assert bare == []
    assert all("description" in section for section in (*recipe["$defs"].values(), *study["$defs"].values()))


def test_the_schema_allows_what_only_files_may_hold() -> None:
    schema = json_schema()
    assert "extends" in schema["properties"]
    assert schema["$defs"]["ModelConfig"]["properties"]["like"]["type"] == "string"
    assert "pocket" in schema["$defs"]["ModelConfig"]["properties"]["preset"]["enum"]
    assert "batch_seqs" in schema["$defs"]["TrainStageConfig"]["properties"]
    assert {way["type"] for way in schema["properties"]["train"]["anyOf"]} == {"array", "object"}
    assert "required" not in schema


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_hold_under_the_schema(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    tree = parse_yaml(path.read_text(), Stamp("given", path.name))
    assert tree is not None
    file = STUDY_SCHEMA_FILE if is_study(path) else SCHEMA_FILE
    jsonschema.Draft202012Validator(json.loads(file.read_text())).validate(plain(tree))
    assert file.name in path.read_text().partition("\n")[0], "its first line names the schema, for editors"


def test_a_typo_does_not_hold_under_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    errors = list(jsonschema.Draft202012Validator(json_schema()).iter_errors({"seeds": 1, "train": {"p": {"lenght_tokens": 1}}}))
    assert len(errors) == 2
