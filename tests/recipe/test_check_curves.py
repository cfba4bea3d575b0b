from collections.abc import Callable

import pytest

from pellucid.core.errors import Problem
from pellucid.recipe.load import LoadedRecipe

Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("overrides", "field", "message"),
    [
        (["train.0.curves={at_steps: [3, 999]}"], "train[0].curves.at_steps", "got 999; the stage has the steps 0 to 245"),
        (["train.0.curves={tasks: [a.jsonl, a.jsonl]}"], "train[0].curves.tasks", "got 'a.jsonl' twice"),
        (
            ["train.0.curves={tasks: [perplexity]}", "documents.heldout_frac=0"],
            "train[0].curves.tasks",
            "got 'perplexity', and documents.heldout_frac is 0",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_with_a_fix(problems: Problems, overrides: list[str], field: str, message: str) -> None:
    (problem,) = problems(*overrides)
    assert (problem.field, problem.message) == (field, message) and problem.fix


def test_files_of_items_need_no_held_out_documents(load: Load) -> None:
    loaded = load("train.0.curves={tasks: [items.jsonl], at_steps: [0, 245]}", "documents.heldout_frac=0")
    assert loaded.recipe.train[0].curves is not None
