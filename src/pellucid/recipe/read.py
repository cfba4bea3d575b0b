"""Recipe files and presets from disk: bytes → trees, along `extends`."""

import os
from functools import cache
from pathlib import Path

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.conversations import TEMPLATES
from pellucid.recipe.merge import suggest
from pellucid.recipe.tree import Leaf, Node, Stamp, TreeError, parse_yaml

__all__ = ["is_study", "preset_names", "read_chain", "read_preset"]

PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the model presets that are shipped."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


@cache
def _preset_text(name: str) -> str:
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def read_preset(name: str) -> dict[str, Node]:
    """Return the model fields of a shipped preset, marked as inherited from it. `name` is one of `preset_names()`."""
    tree = parse_yaml(_preset_text(name), Stamp("inherited", f"preset {name}"))
    assert isinstance(tree, dict), name
    return tree


def read_chain(path: Path) -> list[dict[str, Node]]:
    """Return the trees of a recipe and of all it extends, the furthest ancestor first, without their `extends` keys.

    Relative paths (of sources, tokenizer, `like`, `init_from`) of ancestors are rewritten to start from the recipe's own folder.
    Raises `RecipeError` for a file that cannot be read, is not a mapping, or extends itself.
    """
    chain: list[dict[str, Node]] = []
    seen: list[Path] = []
    file, named_in = path, ""
    while True:
        if file.resolve() in seen:
            circle = " → ".join(one.name for one in [*seen, file])
            raise RecipeError(str(path), [Problem("extends", f"goes in a circle: {circle}", "one of these must extend nothing")])
        seen.append(file.resolve())
        try:
            tree = _read_file(file, Stamp("inherited" if chain else "given", _shown(file, path)))
            parent = _pop_extends(tree)
        except TreeError as error:
            problems = error.problems
            if chain:
                where = f"extends ({named_in})"
                problems = [Problem(where, f"{_shown(file, path)}: {one.field}: {one.message}", one.fix) for one in problems]
            raise RecipeError(str(path), problems) from error
        if chain:
            _rebase_paths(tree, file.parent, path.parent)
        chain.insert(0, tree)
        if parent is None:
            return chain
        file, named_in = Path(os.path.normpath(file.parent / parent.value)), parent.place


def is_study(path: Path) -> bool:
    """Tell whether a file says that it is a study. What cannot be read is none: whoever reads it says why."""
    try:
        tree = _read_file(path, Stamp("given", path.name))
    except TreeError:
        return False
    kind = tree.get("kind")
    return isinstance(kind, Leaf) and kind.value == "study"


def _shown(file: Path, path: Path) -> str:
    """Return how a file of the chain is called in messages: as given for the recipe itself, relative to it for the others."""
    return path.name if file == path else os.path.relpath(file, path.parent)


def _read_file(file: Path, stamp: Stamp) -> dict[str, Node]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        beside = sorted(one.name for one in file.parent.glob("*.y*ml")) if file.parent.is_dir() else []
        near = suggest(file.name, beside)
        fix = f"did you mean {file.parent / near}?" if near else f"recipes there: {', '.join(beside[:8])}" if beside else ""
        raise TreeError([Problem("(file)", "does not exist", fix)]) from error
    except IsADirectoryError as error:
        inside = sorted(one.name for one in file.glob("*.y*ml"))
        fix = f"recipes in it: {', '.join(inside[:8])}" if inside else "give the recipe's YAML file"
        raise TreeError([Problem("(file)", "is a folder, not a recipe", fix)]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        fix = "save the file as UTF-8"
        raise TreeError(
            [Problem(f"line {line}", f"is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}", fix)]
        ) from error
    except OSError as error:
        raise TreeError([Problem("(file)", f"cannot be read: {error.strerror}")]) from error
    tree = parse_yaml(text, stamp)
    if tree is None:
        raise TreeError([Problem("(file)", "is empty", "begin with: name, sources, model, train; or extends: another.yaml")])
    if not isinstance(tree, dict):
        raise TreeError([Problem("(file)", "must be a mapping of keys to values", "begin with: name: my-run")])
    return tree


def _pop_extends(tree: dict[str, Node]) -> Leaf | None:
    node = tree.pop("extends", None)
    if node is None:
        return None
    if not isinstance(node, Leaf) or not isinstance(node.value, str) or not node.value:
        raise TreeError([Problem("extends", "must be the name of one recipe file", "extends: pocket.yaml")])
    return node


def _rebase_paths(tree: dict[str, Node], folder: Path, base: Path) -> None:
    """Make relative paths that were written in `folder` start from `base`."""
    documents = tree.get("documents")
    for source in _items(tree.get("sources")):
        _move(source, ("path", "hub", "template"), folder, base)
        for step in _items(source.get("clean")):
            _move(step, ("model", "sentencepiece"), folder, base)
    if isinstance(documents, dict):
        for step in _items(documents.get("clean")):
            _move(step, ("model", "sentencepiece"), folder, base)
        if isinstance(decontaminate := documents.get("decontaminate"), dict):
            _move(decontaminate, ("benchmarks",), folder, base)
    if isinstance(tokenizer := tree.get("tokenizer"), dict):
        _move(tokenizer, ("path",), folder, base)
    if isinstance(model := tree.get("model"), dict):
        _move(model, ("like",), folder, base)
    for source in _items(tree.get("conversations")):
        _move(source, ("path", "hub"), folder, base)
    chat = tree.get("chat")
    if isinstance(chat, dict) and isinstance(template := chat.get("template"), Leaf) and template.value not in TEMPLATES:
        chat["template"] = _moved("path", template, folder, base)
    evaluate = tree.get("evaluate")
    if isinstance(evaluate, dict) and isinstance(benchmarks := evaluate.get("benchmarks"), dict):
        _move(benchmarks, ("data",), folder, base)
    for stage in _items(tree.get("train")):
        _move(stage, ("init_from",), folder, base)
        for name, key in (("adapter", "init_from"), ("self_knowledge", "facts")):
            if isinstance(section := stage.get(name), dict):
                _move(section, (key,), folder, base)


def _items(node: Node | None) -> list[dict[str, Node]]:
    """Return the mappings in a list, or in a mapping of names."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [item for item in items if isinstance(item, dict)]


def _move(section: dict[str, Node], keys: tuple[str, ...], folder: Path, base: Path) -> None:
    for key in keys:
        node = section.get(key)
        if isinstance(node, list):
            section[key] = [_moved(key, one, folder, base) for one in node]
        elif node is not None:
            section[key] = _moved(key, node, folder, base)


def _moved(key: str, node: Node, folder: Path, base: Path) -> Node:
    if not isinstance(node, Leaf):
        return node
    if isinstance(node.value, list):
        value: object = [_moved_path(key, one, folder, base) for one in node.value]
    else:
        value = _moved_path(key, node.value, folder, base)
    return Leaf(value, node.origin, node.place)


def _moved_path(key: str, value: object, folder: Path, base: Path) -> object:
    if not isinstance(value, str) or not _is_path(key, value):
        return value
    moved = value if Path(value).is_absolute() else os.path.relpath(folder / value, base)
    # A data set is a local folder only where it is written as one.
    return moved if key != "hub" or moved.startswith(".") else f"./{moved}"


def _is_path(key: str, value: str) -> bool:
    """Tell whether a value of this key names a place on the disk; the others are URLs, names on the hub, or text."""
    if key == "hub":
        return value.startswith(("./", "../"))
    if key == "template":
        return "{" not in value and value.lower().endswith((".yaml", ".yml"))
    return bool(value) and "://" not in value
