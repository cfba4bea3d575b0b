"""YAML text → a tree whose leaves remember where they were written. YAML 1.2's plain values, and nothing that runs code."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias

import yaml

from pellucid.core.errors import Problem

__all__ = ["MAX_VALUES", "Leaf", "Node", "Origin", "Stamp", "TreeError", "leaves", "parse_yaml", "plain"]

Origin = Literal["given", "inherited", "override", "derived", "default"]

STRENGTH: tuple[Origin, ...] = ("default", "inherited", "derived", "given", "override")
"""A value made of several leaves (weights by name) counts as what its strongest leaf is."""

# A recipe is a few hundred values; far above that it is not a recipe, or its aliases multiply.
MAX_VALUES = 50_000


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all leaves of one document share: how they came into the recipe, and the name of the document."""

    origin: Origin
    name: str

    def at(self, line: int) -> str:
        """Return where a value of this document stands, as a reader would say it."""
        return f"{self.name}:{line}" if self.origin != "override" else self.name


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value (a scalar, or a list without mappings) and where it was written."""

    value: Any
    origin: Origin
    place: str


Node: TypeAlias = Leaf | dict[str, "Node"] | list["Node"]


class TreeError(Exception):
    """A document that cannot be read; carries every problem that was found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))


class _Yaml12(yaml.SafeLoader):
    """PyYAML with the plain values of YAML 1.2's core schema: `on`, `no` and dates are text, `2e6` is a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML reads it from the class)


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Yaml12.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.inf|\.Inf|\.INF|\.nan|\.NaN|\.NAN|(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?)$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, stamp: Stamp) -> Node | None:
    """Parse one YAML document into a tree; None when it is empty.

    Raises `TreeError` with line and column for what is not YAML, and with every duplicate key, unknown tag and unusable number.
    """
    try:
        loader = _Yaml12(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TreeError([Problem(f"line {line}", f"not YAML: the control character {error.character:#04x}")]) from error
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "(file)"
        what = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "indent with spaces, not tabs" if "'\\t'" in what else ""
        raise TreeError([Problem(where, f"not YAML: {what}", hint)]) from error
    except yaml.YAMLError as error:
        raise TreeError([Problem("(file)", f"not YAML: {str(error).splitlines()[0]}")]) from error
    finally:
        loader.dispose()
    if root is None:
        return None
    builder = _Builder(stamp)
    node = builder.build(root, ())
    if builder.problems:
        raise TreeError(builder.problems)
    return node


class _Builder:
    """Walks PyYAML's nodes, which know their lines, and collects what is wrong with them."""

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp
        self.problems: list[Problem] = []
        self.count = 0

    def build(self, node: yaml.Node, above: tuple[int, ...]) -> Node:
        self.count += 1
        if id(node) in above or self.count > MAX_VALUES:
            what = "an alias (*) repeats what it is part of" if id(node) in above else f"more than {MAX_VALUES} values"
            raise TreeError([Problem(_line(node), what)])
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode) and self._tag(node, "map"):
            return self._mapping(node, above)
        if isinstance(node, yaml.SequenceNode) and self._tag(node, "seq"):
            items = [self.build(item, above) for item in node.value]
            if all(isinstance(item, Leaf) for item in items):
                return self._leaf(node, [item.value for item in items if isinstance(item, Leaf)])
            return items
        if isinstance(node, yaml.ScalarNode) and self._tag(node, "str", "int", "float", "bool", "null"):
            return self._leaf(node, self._scalar(node))
        return self._leaf(node, None)

    def _leaf(self, node: yaml.Node, value: Any) -> Leaf:
        return Leaf(value, self.stamp.origin, self.stamp.at(node.start_mark.line + 1))

    def _tag(self, node: yaml.Node, *kinds: str) -> bool:
        known = node.tag in {f"tag:yaml.org,2002:{kind}" for kind in kinds}
        if not known:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(Problem(_line(node), f"the tag {tag} is not allowed", "a recipe holds plain values only"))
        return known

    def _mapping(self, node: yaml.MappingNode, above: tuple[int, ...]) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(_line(key_node), "a key must be plain text"))
                continue
            key = key_node.value
            if key in first:
                self.problems.append(Problem(_line(key_node), f"the key {key} is given twice; first on line {first[key]}"))
            else:
                first[key] = key_node.start_mark.line + 1
                mapping[key] = self.build(value_node, above)
        return mapping

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        kind = node.tag.rpartition(":")[2]
        try:
            value = _CONVERT[kind](text)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError
            if isinstance(value, str):
                value.encode()
        except (ValueError, InvalidOperation):
            self.problems.append(Problem(_line(node), f"{text[:40]!a} cannot be used: no {kind} of 64 bits or valid Unicode"))
            return None
        return value


def _int(text: str) -> int:
    digits = text.replace("_", "")
    base = {"0o": 8, "0x": 16}.get(digits[:2].lower())
    return int(digits[2:], base) if base else int(digits)


def _float(text: str) -> int | float:
    digits = text.replace("_", "").lower()
    if digits.endswith(("inf", "nan")):
        return float(digits.replace(".", ""))
    if "e" in digits:
        exact = Decimal(digits)
        # 2e6 is a whole number to whoever writes it; 2.0 is left a decimal fraction. The bound keeps 1e999999 from being spelt out.
        if exact.adjusted() < 19 and exact == exact.to_integral_value():
            return int(exact)
    return float(digits)


_CONVERT: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": _int,
    "float": _float,
    "bool": lambda text: text.lower() == "true",
    "null": lambda _: None,
}


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def plain(node: Node) -> Any:
    """Return the tree's values alone, as JSON would hold them."""
    if isinstance(node, Leaf):
        return node.value
    if isinstance(node, dict):
        return {key: plain(child) for key, child in node.items()}
    return [plain(child) for child in node]


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield the leaves of a tree in order."""
    if isinstance(node, Leaf):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from leaves(child)
