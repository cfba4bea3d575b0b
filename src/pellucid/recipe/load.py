"""From a recipe file to one checked `Recipe`: extend, override, fill in, validate; every problem is shown at once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pellucid.core.errors import Problem, RecipeError, UsageError
from pellucid.recipe.check import check
from pellucid.recipe.derive import fill_in
from pellucid.recipe.merge import NAMED_LISTS, apply_override, item_name, merge
from pellucid.recipe.partial import assemble
from pellucid.recipe.problems import Finding, Loc, field_text, section_in, translate, without_tags
from pellucid.recipe.read import read_chain
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.resolved import values_digest
from pellucid.recipe.section import Section
from pellucid.recipe.tree import STRENGTH, Leaf, Node, Origin, TreeError, leaves, plain

__all__ = ["LoadedRecipe", "fields_of", "load_recipe"]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where it came from.

    `base` is the folder that relative paths start from. `origins` and `places` are keyed by dotted field
    (`train.pretrain.batch_tokens`, the form that `--set` takes): how each value came in, and where it was written.
    `digest` is the sha256 of the resolved values.
    """

    recipe: Recipe
    path: Path
    base: Path
    origins: dict[str, Origin]
    places: dict[str, str]
    digest: str


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read a recipe with what it extends, apply `--set` overrides in order, and validate the whole.

    Raises `RecipeError` listing every problem. Paths stay relative to the file that names them.
    """
    path = Path(path)
    tree: Node = {}
    for layer in read_chain(path):
        tree = merge(tree, layer)
    problems: list[Problem] = []
    for text in overrides:
        try:
            tree = apply_override(tree, text)
        except TreeError as error:
            problems += error.problems
    assert isinstance(tree, dict)
    kind = tree.get("kind")
    if isinstance(kind, Leaf) and kind.value == "study":
        raise UsageError(f"{path} is a study, not a recipe; pellucid run, shards, plan, explain, launch and report take it")
    findings = fill_in(tree, path)
    recipe, more = _validate(plain(tree), {finding.loc for finding in findings})
    findings = sorted([*findings, *more], key=lambda finding: _position(finding.loc))
    problems += [_as_problem(finding, tree) for finding in findings]
    if recipe is None or problems:
        raise RecipeError(str(path), problems)
    origins, places = _trace(recipe, tree)
    return LoadedRecipe(recipe, path, path.parent, origins, places, values_digest(recipe.model_dump(mode="json")))


def _validate(raw: Any, known: set[Loc]) -> tuple[Recipe | None, list[Finding]]:
    """Return the recipe when every single value is right, and all findings: about values, and about combinations."""
    try:
        # Through JSON, because strict validation of JSON takes a list for a tuple yet no text for a number.
        recipe = Recipe.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        findings = translate(errors, Recipe)
        if known & {("model", "preset"), ("model", "like")}:
            findings = [one for one in findings if not (one.loc[:1] == ("model",) and one.message == "missing")]
        # An unknown key spoils nothing else, and a list is called too short also when only its items are wrong.
        spoilt = [one for one in errors if one["type"] != "extra_forbidden" and not (one["type"] == "too_short" and one["input"])]
        wrong: set[Loc] = {without_tags(Recipe, tuple(one["loc"])) for one in spoilt}
        return None, [*findings, *check(assemble(Recipe, raw, wrong))]
    return recipe, check(recipe)


def _position(loc: Loc) -> tuple[int, ...]:
    """Return a sort key that puts findings in the order of the recipe's fields, unknown keys last in their section."""
    section: type[Section] | None = Recipe
    key = []
    for part in loc:
        if isinstance(part, int):
            key.append(part)
            continue
        names = list(section.model_fields) if section else []
        key.append(names.index(part) if part in names else len(names))
        section = section_in(section.model_fields[part].annotation) if section and part in names else None
    return tuple(key)


def _as_problem(finding: Finding, tree: Node) -> Problem:
    """Word a finding for the reader: say which item it is about, and where the value stands when it is not in the recipe itself."""
    message, fix, node = finding.message, finding.fix, tree
    for depth, part in enumerate(finding.loc):
        if isinstance(node, dict) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int):
            name = item_name(node[part])
            if depth == 1 and len(node) > 1 and name and finding.loc[2:] != ("name",):
                message += f"  ({NAMED_LISTS[str(finding.loc[0])]} {name})"
            node = node[part]
        else:
            break
    else:
        if isinstance(node, Leaf) and node.origin in ("inherited", "override", "derived"):
            where = {"inherited": f"inherited from {node.place}", "override": f"set by {node.place}"}.get(node.origin, node.place)
            fix = f"{fix}; {where}" if fix else where
    return Problem(field_text(finding.loc), message, fix)


def fields_of(section: Section, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield every value of a section and the sections in it as (dotted field, value, description), in order."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        dotted = prefix + name
        if isinstance(value, Section):
            yield from fields_of(value, dotted + ".")
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for item in value:
                yield from fields_of(item, f"{dotted}.{getattr(item, 'name', None) or item.step}.")
        else:
            yield dotted, value, field.description or ""


def _trace(recipe: Recipe, tree: Node) -> tuple[dict[str, Origin], dict[str, str]]:
    """Return origin and place of every field of a resolved recipe."""
    origins: dict[str, Origin] = {field: "default" for field, _, _ in fields_of(recipe)}
    places = dict.fromkeys(origins, "")

    def visit(node: Node, dotted: str) -> None:
        if dotted in origins:
            strongest = max(leaves(node), key=lambda leaf: STRENGTH.index(leaf.origin), default=None)
            if strongest is not None:
                origins[dotted], places[dotted] = strongest.origin, strongest.place
            return
        children = (
            node.items()
            if isinstance(node, dict)
            else [(item_name(item) or "", item) for item in node]
            if isinstance(node, list)
            else []
        )
        for key, child in children:
            visit(child, f"{dotted}.{key}" if dotted else key)

    visit(tree, "")
    return origins, places
