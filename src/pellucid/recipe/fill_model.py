"""The model's fields that a recipe leaves to a shipped preset, or to a published model that it is to be like."""

from pathlib import Path

from pellucid.core.errors import PellucidError
from pellucid.recipe.like import describe_weights, is_gguf_file
from pellucid.recipe.merge import suggest
from pellucid.recipe.problems import Finding, show_value
from pellucid.recipe.read import preset_names, read_preset
from pellucid.recipe.tree import Leaf, Node

__all__ = ["fill_model"]

_STARTS = ("preset", "like")


def fill_model(tree: dict[str, Node], base: Path) -> list[Finding]:
    """Put what `preset` or `like` stands for under what the model gives itself, in place, and return what is wrong.

    One of the two that `--set` names begins anew whatever the files say; other overrides still apply. `base` is where the path of
    `like` starts from.
    """
    model = tree.get("model")
    starts = {key: model[key] for key in _STARTS if key in model} if isinstance(model, dict) else {}
    if not isinstance(model, dict) or not starts:
        return []
    given = {key: node for key, node in model.items() if key not in starts}
    overriding = {key: node for key, node in starts.items() if _is_override(node)}
    tree["model"] = given
    if overriding:
        starts, given = overriding, {key: node for key, node in given.items() if _is_override(node)}
    if len(starts) > 1:
        return [Finding(("model", "like"), "the model has a preset as well", "keep one of the two")]
    ((key, start),) = starts.items()
    shape = _preset(start) if key == "preset" else _likeness(start, base)
    if isinstance(shape, Finding):
        return [shape]
    tree["model"] = {**shape, **given}
    return []


def _preset(preset: Node) -> dict[str, Node] | Finding:
    name = preset.value if isinstance(preset, Leaf) else None
    if isinstance(name, str) and name in preset_names():
        return read_preset(name)
    near = suggest(str(name), preset_names())
    fix = f"did you mean {near}?" if near else ""
    return Finding(("model", "preset"), f"got {_shown(preset)}; must be one of {', '.join(preset_names())}", fix)


def _likeness(like: Node, base: Path) -> dict[str, Node] | Finding:
    named = like.value if isinstance(like, Leaf) else None
    if not isinstance(named, str) or not named.strip():
        return Finding(("model", "like"), f"got {_shown(like)}; must name a Hugging Face folder or a GGUF file")
    try:
        found = describe_weights(base / named)
        in_one_file = is_gguf_file(base / named)
    except PellucidError as error:
        return Finding(("model", "like"), f"got {show_value(named)}; " + str(error).replace("\n  ", "; "))
    shape: dict[str, Node] = {key: Leaf(value, "derived", f"from {named}") for key, value in found.model_dump().items()}
    if found.norm == "layernorm" and not in_one_file:
        # Only its weights tell, and they are held to the recipe when they are read.
        shape["norm_bias"] = Leaf(found.norm_bias, "derived", f"from {named}, whose config.json leaves it open")
    return shape


def _shown(node: Node) -> str:
    return show_value(node.value) if isinstance(node, Leaf) else "a mapping"


def _is_override(node: Node) -> bool:
    return isinstance(node, Leaf) and node.origin == "override"
