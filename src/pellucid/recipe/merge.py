"""Laying one tree over another: `extends` and `--set`. Mappings merge, lists replace, named items are met by their name."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from pellucid.core.errors import Problem
from pellucid.recipe.tree import Leaf, Node, Origin, Stamp, TreeError, parse_yaml

__all__ = ["NAMED_LISTS", "apply_override", "merge", "suggest"]

# Lists whose items carry a `name`, with the word for one of them.
NAMED_LISTS = {"sources": "source", "conversations": "source of conversations", "train": "stage"}


def suggest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word nearest to a mistyped one, or None when nothing is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.75)
    if near:
        return near[0]
    folded = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def merge(base: Node | None, child: Node, path: tuple[str, ...] = ()) -> Node:
    """Lay `child` over `base` and return the result; neither is changed.

    Mappings merge key by key and anything else replaces. A list of named items (sources, train) is replaced by a list, but
    a mapping keyed by name changes the items it names, adds those that are new, and removes those it sets to null.
    A model that names a preset, or one to be like, starts from that and not from the model below it.
    """
    if len(path) == 1 and path[0] in NAMED_LISTS and isinstance(child, dict):
        return _merge_named(base if isinstance(base, list) else [], child)
    if path == ("model",) and isinstance(child, dict) and ("preset" in child or "like" in child):
        return child
    if isinstance(child, dict) and (isinstance(base, dict) or not path):
        below = base if isinstance(base, dict) else {}
        merged = dict(below)
        for key, node in child.items():
            merged[key] = merge(below.get(key), node, (*path, key))
        return merged
    return child


def _merge_named(base: list[Node], child: dict[str, Node]) -> Node:
    items = list(base)
    for name, node in child.items():
        at = next((index for index, item in enumerate(items) if item_name(item) == name), None)
        if isinstance(node, Leaf) and node.value is None:
            if at is not None:
                items.pop(at)
        elif at is not None:
            items[at] = merge(items[at], node, ("", ""))
        else:
            named = Leaf(name, *_stamp_of(node))
            items.append({"name": named, **node} if isinstance(node, dict) else node)
    return items


def _stamp_of(node: Node) -> tuple[Origin, str]:
    """Return origin and place of a tree's first leaf: where its key stands, near enough."""
    while not isinstance(node, Leaf):
        children = list(node.values()) if isinstance(node, dict) else node
        if not children:
            return ("given", "")
        node = children[0]
    return (node.origin, node.place)


def item_name(item: Node) -> str | None:
    """Return the `name` of an item of a named list, or the `step` of a cleaning step, if it has one."""
    name = item.get("name", item.get("step")) if isinstance(item, dict) else None
    return str(name.value) if isinstance(name, Leaf) and name.value is not None else None


def apply_override(tree: Node, text: str) -> Node:
    """Return the tree with one `--set key=value` applied; keys are joined by dots, items named or numbered from 0.

    The value is YAML: `2e6`, `[hf, gguf]`, `{wiki: 2}`. Raises `TreeError` when there is no `=`, or when the key leads nowhere.
    """
    key, equals, value_text = text.partition("=")
    key = re.sub(r"\[(\d+)\]", r".\1", key.strip())
    if not equals or not key:
        raise TreeError([Problem(f"--set {text}", "has no key=value", "write --set train.0.length_tokens=2e6")])
    stamp = Stamp("override", f"--set {key}")
    try:
        value = parse_yaml(value_text, stamp)
    except TreeError as error:
        raise TreeError([Problem(f"--set {key}", problem.message, problem.fix) for problem in error.problems]) from error
    return _put(tree, key, Leaf(None, "override", stamp.name) if value is None else value, (), key)


def _put(node: Node | None, rest: str, value: Node, path: tuple[str, ...], key: str) -> Node:
    """Return `node` with `value` at the dotted `rest` of the key, making the mappings on the way there."""
    if not rest:
        return value if node is None else merge(node, value, path or ("",))
    if len(path) == 1 and path[0] in NAMED_LISTS:
        if not isinstance(node, list):
            raise TreeError([Problem(f"--set {key}", f"there are no {path[0]} to change")])
        index, deeper = _find_item(node, rest, path[0], key)
        items = list(node)
        if not deeper and isinstance(value, Leaf) and value.value is None:
            items.pop(index)
        else:
            items[index] = _put(items[index], deeper, value, (*path, str(index)), key)
        return items
    if isinstance(node, Leaf) and node.value is None:
        node = None
    if not (node is None or isinstance(node, dict)):
        what = ".".join(path)
        raise TreeError(
            [Problem(f"--set {key}", f"{what} is not a section, so it has no {rest!r}", f"set the whole: --set {what}=…")]
        )
    # Source names may hold dots, and only weights are keyed by them.
    head, _, deeper = (rest, "", "") if path and path[-1] == "weights" else rest.partition(".")
    below = node or {}
    return {**below, head: _put(below.get(head), deeper, value, (*path, head), key)}


def _find_item(items: list[Node], rest: str, kind: str, key: str) -> tuple[int, str]:
    """Return the index of the item that the dotted `rest` begins with, and what follows it. The longest name wins."""
    names = [item_name(item) or "" for item in items]
    matching = [name for name in names if name and (rest == name or rest.startswith(name + "."))]
    if matching:
        name = max(matching, key=len)
        return names.index(name), rest[len(name) + 1 :]
    head, _, deeper = rest.partition(".")
    if re.fullmatch(r"\d{1,9}", head) and int(head) < len(items):
        return int(head), deeper
    word = NAMED_LISTS[kind]
    if re.fullmatch(r"-?\d+", head):
        limit = f"0 to {len(items) - 1}" if len(items) > 1 else "0"
        raise TreeError([Problem(f"--set {key}", f"there is no {word} {head}; the index must be {limit}")])
    near = suggest(head, names)
    fix = f"did you mean {near}?" if near else f"there are: {', '.join(names)}"
    raise TreeError([Problem(f"--set {key}", f"there is no {word} named {head!r}", fix)])
