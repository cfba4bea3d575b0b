from collections.abc import Callable

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.load import LoadedRecipe

Problems = Callable[..., list[Problem]]
Load = Callable[..., LoadedRecipe]


@pytest.mark.parametrize(
    ("section", "message", "fix"),
    [
        ("{bands: 129}", "got 129; must be at most permutations = 128", "set bands: 128"),
        ("{bands: 65}", "got 65; bands of 1 would leave 63 of the 128 minima unused", "nearest: 64 of 2 minima, or 128 of 1"),
        (
            "{bands: 4}",
            "got 4; only 0.3% of the pairs with min_jaccard = 0.8 would agree in a band of 32 minima and be compared, must be 90%",
            "set bands: 16",
        ),
        ("{min_jaccard: 0.001}", "got 25; only 0.0% of the pairs", "set more permutations, or a larger min_jaccard"),
    ],
)
def test_bands_that_find_nothing_or_waste_minima_are_told_with_a_fix(
    problems: Problems, section: str, message: str, fix: str
) -> None:
    (found,) = problems(f"documents.near_dedup={section}")
    assert found.field == "documents.near_dedup.bands"
    assert found.message.startswith(message) and found.fix.startswith(fix)


@pytest.mark.parametrize(
    "section", ["null", "{}", "{bands: 16}", "{permutations: 256, bands: 32}", "{bands: 128, min_jaccard: 0.1}"]
)
def test_bands_that_work_are_no_problem(load: Load, section: str) -> None:
    near = load(f"documents.near_dedup={section}").recipe.documents.near_dedup
    assert (near is None) == (section == "null")


@pytest.mark.parametrize("section", ["{min_jaccard: 2}", "{bands: 0}", "{permutations: x}", "3"])
def test_a_wrong_value_is_the_only_problem(problems: Problems, section: str) -> None:
    (found,) = problems(f"documents.near_dedup={section}")
    assert "bands of" not in found.message
