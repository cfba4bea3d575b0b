"""The resolved recipe, value by value."""

import json
from collections.abc import Callable

from pellucid.recipe.explain import explain, explain_json
from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]


def test_every_value_is_explained_in_words(load: Load) -> None:
    rows = explain(load("seed=7"))
    by_field = {row.field: row for row in rows}
    assert len(by_field) == len(rows)
    assert (by_field["seed"].value, by_field["seed"].origin, by_field["seed"].place) == (7, "override", "--set seed")
    assert by_field["train.pretrain.length_tokens"].origin == "given"
    assert [row.field for row in rows if not row.description] == []


def test_the_json_form_is_plain(load: Load) -> None:
    loaded = load()
    again = json.loads(json.dumps(explain_json(loaded)))
    assert again["digest"] == loaded.digest
    assert {"field", "value", "origin", "place", "description"} == again["fields"][0].keys()
