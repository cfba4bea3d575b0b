"""`--set needle.depths=5` → the settings of the suites, with a recipe's own errors."""

import json
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.merge import apply_override
from pellucid.recipe.problems import field_text, translate
from pellucid.recipe.suites import SuitesConfig
from pellucid.recipe.tree import Node, TreeError, plain

__all__ = ["load_suite_settings"]


def load_suite_settings(overrides: Sequence[str], given: Mapping[str, str] | None = None) -> SuitesConfig:
    """Return the suites' settings with overrides applied in order; `given` are values by dotted field that come before them.

    Raises `RecipeError` listing every problem with field, value, limit and fix.
    """
    tree: Node = {}
    problems: list[Problem] = []
    for text in [*(f"{field}={json.dumps(value)}" for field, value in (given or {}).items()), *overrides]:
        try:
            tree = apply_override(tree, text)
        except TreeError as error:
            problems += error.problems
    try:
        config = SuitesConfig.model_validate_json(json.dumps(plain(tree)), strict=True)
    except ValidationError as error:
        found = translate(error.errors(include_url=False), SuitesConfig)
        problems += [Problem(field_text(one.loc), one.message, one.fix) for one in found]
    if problems:
        raise RecipeError("the suites' settings (--set)", problems)
    return config
