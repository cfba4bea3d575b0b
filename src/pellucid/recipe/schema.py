"""The JSON schemas of recipe and study files as one writes them, so that editors complete and check them.

A file may leave out whatever it extends or what a preset fills in, so only items of lists keep their required keys.
"""

from pathlib import Path
from typing import Any

from pellucid.core.files import write_json
from pellucid.recipe.merge import NAMED_LISTS
from pellucid.recipe.read import preset_names
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.study import StudyConfig

__all__ = ["SCHEMA_FILE", "STUDY_SCHEMA_FILE", "json_schema", "study_schema", "write_schemas"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = Path(__file__).parent / "recipe.schema.json"
STUDY_SCHEMA_FILE = SCHEMA_FILE.with_name("study.schema.json")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a recipe file."""
    schema = _bare(Recipe.model_json_schema())
    sections = schema["$defs"]
    for section in (schema, *sections.values()):
        section.pop("required", None)
    sections["ModelConfig"]["properties"]["preset"] = {
        "description": "A shipped shape that fills in every field not given here.",
        "enum": preset_names(),
        "type": "string",
    }
    sections["TrainStageConfig"]["properties"]["batch_seqs"] = {
        "description": "Another way to write batch_tokens: sequences of one optimizer step; a pair counts as one.",
        "minimum": 1,
        "type": "integer",
    }
    sections["ModelConfig"]["properties"]["like"] = {
        "description": "A Hugging Face folder or a GGUF file whose shape fills in every field not given here.",
        "type": "string",
    }
    for name, word in NAMED_LISTS.items():
        field = schema["properties"][name]
        item = field["items"]
        by_name = {"anyOf": [item, {"type": "null"}]}
        field["anyOf"] = [
            {"type": "array", "items": {**item, "required": ["name"]}, "minItems": field.pop("minItems", 0)},
            {
                "type": "object",
                "additionalProperties": by_name,
                "description": f"By name: changes, adds, or (null) removes a {word}.",
            },
        ]
        del field["type"], field["items"]
    schema["properties"]["extends"] = {
        "description": "Another recipe, relative to this one, that this one changes.",
        "type": "string",
    }
    return {"$schema": _DRAFT, "title": "Pellucid recipe", **schema}


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of a study's file, which needs to say no more than that it is one, and its base."""
    schema = _bare(StudyConfig.model_json_schema())
    schema["required"] = ["kind", "base"]  # the name may be the file's
    return {"$schema": _DRAFT, "title": "Pellucid study", **schema}


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    """Take out the titles that pydantic makes of names."""
    for section in (schema, *schema["$defs"].values()):
        section.pop("title", None)
        for field in section.get("properties", {}).values():
            field.pop("title", None)
    return schema


def write_schemas(folder: Path = SCHEMA_FILE.parent) -> None:
    """Write the schema files that are shipped; run as `python -m pellucid.recipe.schema` after changing a section."""
    write_json(folder / SCHEMA_FILE.name, json_schema())
    write_json(folder / STUDY_SCHEMA_FILE.name, study_schema())


if __name__ == "__main__":
    write_schemas()
