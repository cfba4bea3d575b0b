from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.load import load_recipe
from pellucid.recipe.resolved import RECIPE_FILE, open_recipe, parse_resolved, resolved_text, values_digest

LOADED = load_recipe(Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml")


def test_the_text_reads_back_equal_and_is_written_the_same_again() -> None:
    values = LOADED.recipe.model_dump(mode="json")
    text = resolved_text(values)
    recipe, found = parse_resolved(Path("x"), text)
    assert recipe == LOADED.recipe and found == values
    assert resolved_text(found) == text and values_digest(found) == LOADED.digest


def test_what_is_no_recipe_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        open_recipe(tmp_path)
    for text in ("[", "a: 1", "- 1", "a: &a [1]\nb: [*a, *a]", "!!python/object:os.system {}"):
        (tmp_path / RECIPE_FILE).write_text(text)
        with pytest.raises(ArtifactError, match="is not the resolved recipe of a run"):
            open_recipe(tmp_path)


def test_aliases_that_multiply_are_counted_and_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    with pytest.raises(ArtifactError, match="aliases multiply"):
        parse_resolved(tmp_path, "\n".join(lines))
