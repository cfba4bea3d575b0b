"""What an SPDX expression allows: open as code, open as data or text, and whether texts under it may be passed on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pellucid.core.errors import MissingExtraError

__all__ = ["NON_COMMERCIAL", "Standing", "names_in", "standing", "table"]

NON_COMMERCIAL = "-NC-"


@dataclass(frozen=True)
class Standing:
    """What is known of a licence or an expression of several.

    `code`: approved by the OSI. `content`: open for data, texts and weights. `shareable`: texts that were changed may be passed on.
    `known`: every licence in it stands in the table. `non_commercial`: none of its choices is free of that condition.
    """

    code: bool
    content: bool
    shareable: bool
    known: bool
    non_commercial: bool = False


_UNKNOWN = Standing(False, False, False, False)


@cache
def table() -> dict[str, frozenset[str]]:
    """Return the table of licences: by what they allow, their identifiers."""
    raw = yaml.safe_load(files("pellucid.release").joinpath("licences.yaml").read_text(encoding="utf-8"))
    return {name: frozenset(map(str, listed)) for name, listed in raw.items()}


def standing(expression: str | None, permitted: Iterable[str] = ()) -> Standing:
    """Return what an expression allows; of `A OR B` the best of both, of `A AND B` what both do. Free words are not known.

    Texts under one of `permitted` may be passed on, whatever the table says. Raises `MissingExtraError` without license-expression.
    """
    return _standing((expression or "").strip(), frozenset(permitted))


@cache
def _standing(expression: str, permitted: frozenset[str]) -> Standing:
    if not expression or expression in ("NOASSERTION", "NONE"):
        return _UNKNOWN
    if expression in permitted:
        return Standing(*_flags(expression)[:2], shareable=True, known=True)
    tree = _parsed(expression)
    return _UNKNOWN if tree is None else _of_tree(tree, permitted)


def names_in(expression: str) -> list[str]:
    """Return the names of the licences and exceptions in an SPDX expression, in order; empty for what is none."""
    tree = _parsed(expression)
    if tree is None:
        return []
    return [str(part.key) for literal in tree.get_literals() for part in literal.decompose()]


def _parsed(expression: str) -> Any:
    try:
        from license_expression import ExpressionError, Licensing
    except ImportError as error:
        raise MissingExtraError("license-expression", "release", "Reading licences") from error
    try:
        return Licensing().parse(expression)
    except ExpressionError:
        return None  # words such as "public domain", which many records have


def _of_tree(node: Any, permitted: frozenset[str]) -> Standing:
    operator = getattr(node, "operator", "").strip()
    if operator in ("AND", "OR"):
        join: Callable[[Iterable[bool]], bool] = all if operator == "AND" else any
        parts = [_of_tree(part, permitted) for part in node.args]
        limited = [part.non_commercial for part in parts]
        return Standing(
            join(part.code for part in parts),
            join(part.content for part in parts),
            join(part.shareable for part in parts),
            join(part.known for part in parts),
            any(limited) if operator == "AND" else all(limited),
        )
    # An exception ("GPL-2.0-only WITH …") only allows more than the licence that it is an exception of.
    name = str(getattr(node, "license_symbol", node).key)
    code, content, shareable, known = _flags(name)
    return Standing(code, content, shareable or name in permitted, known or name in permitted, NON_COMMERCIAL in f"{name}-")


def _flags(name: str) -> tuple[bool, bool, bool, bool]:
    held = {kind for kind, names in table().items() if name in names}
    # The framework's tool takes what the OSI or the FSF calls open or free for data and texts as well (LicenseHandler.php).
    content = bool(held & {"osi", "free", "open_content", "open_model"})
    return "osi" in held, content, content or "shareable" in held, bool(held)
