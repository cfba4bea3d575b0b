"""The resolved recipe, value by value: what it is, how it came in, where it was written, what it means."""

from dataclasses import asdict, dataclass
from typing import Any

from pellucid.recipe.load import LoadedRecipe, fields_of
from pellucid.recipe.tree import Origin

__all__ = ["ExplainedField", "explain", "explain_json"]


@dataclass(frozen=True)
class ExplainedField:
    """One value: `field` as `--set` takes it, `place` empty for defaults, `description` with unit and limits in words."""

    field: str
    value: Any
    origin: Origin
    place: str
    description: str


def explain(loaded: LoadedRecipe) -> list[ExplainedField]:
    """Return every value of the resolved recipe in the order of its sections."""
    return [
        ExplainedField(field, list(value) if isinstance(value, tuple) else value, loaded.origins[field], loaded.places[field], text)
        for field, value, text in fields_of(loaded.recipe)
    ]


def explain_json(loaded: LoadedRecipe) -> dict[str, Any]:
    """Return the same as plain values for `explain --json`: `recipe`, `digest`, and `fields[]` with origin and place."""
    return {"recipe": str(loaded.path), "digest": loaded.digest, "fields": [asdict(row) for row in explain(loaded)]}
