"""The JSON schema of a recipe file as one writes it, so that editors complete and check it.

A file may leave out whatever it extends or what a preset fills in, so only items of lists keep their required keys.
"""

from pathlib import Path
from typing import Any

from pellucid.core.files import write_json
from pellucid.recipe.merge import NAMED_LISTS
from pellucid.recipe.read import preset_names
from pellucid.recipe.recipe import Recipe

__all__ = ["SCHEMA_FILE", "json_schema", "write_schema"]

SCHEMA_FILE = Path(__file__).parent / "recipe.schema.json"


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a recipe file."""
    schema = Recipe.model_json_schema()
    sections = schema["$defs"]
    for section in (schema, *sections.values()):
        section.pop("required", None)
        section.pop("title", None)
        for field in section.get("properties", {}).values():
            field.pop("title", None)
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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Pellucid recipe", **schema}


def write_schema(path: Path = SCHEMA_FILE) -> None:
    """Write the schema file that is shipped; run as `python -m pellucid.recipe.schema` after changing a section."""
    write_json(path, json_schema())


if __name__ == "__main__":
    write_schema()
