"""What rendering a chat template may cost, and the counters that are put into a compiled template to hold it to that."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from pellucid.tokenizer.template_growth import sizes

__all__ = ["COUNTERS", "MOST_CHARS", "STEP_CHARS", "WORK", "RefusalError", "Work", "counted", "escaped", "made", "steps"]

# Characters that one rendering may make, those of intermediate strings included: far above any conversation, and a moment's work.
MOST_CHARS = 10**8
# What a turn of a loop or a call costs besides: with it, no more of them than take a few seconds.
STEP_CHARS = 200


@dataclass
class Work:
    """One rendering: what it may still cost, the cost of a step, and the characters that enclose generation blocks."""

    left: int
    step: int
    marks: tuple[str, str] = ("", "")

    def spend(self, chars: int) -> None:
        """Take off what is about to be made; raise when that is more than is left."""
        self.left -= chars
        if self.left < 0:
            raise _TooCostlyError(f"it makes more than {MOST_CHARS:,} characters or loops without end")

    def read(self, value: Any, times: int = 1, pad: int = 0) -> None:
        """Take off what it costs to go through a value, with all that lists and mappings in it hold."""
        if type(value) is str:
            self.spend(times * len(value))
        else:
            for size in sizes(value, pad):
                self.spend(times * size)


# Filters and operators of a compiled template have no other way to know whose rendering they serve.
WORK: ContextVar[Work] = ContextVar("rendering")


class RefusalError(TemplateError):
    """What a template itself raises."""


class _TooCostlyError(SecurityError):
    """A rendering beyond its bounds."""


class _Counting(NodeTransformer):
    """Puts the counters around what loops run over, what is shown, and what `~` joins."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        node.iter = _filter("_steps", node.iter)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        plain = (nodes.TemplateData, nodes.Const)
        node.nodes = [child if isinstance(child, plain) else _filter("_shown", child) for child in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        none = nodes.Const(None, lineno=node.lineno)
        return _filter("_sliced", node.node, [part or none for part in (node.arg.start, node.arg.stop, node.arg.step)])

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802 (Jinja's way of naming)
        """Comparing with what stands in the template takes no longer than that is long."""
        self.generic_visit(node)
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        for number, operand in enumerate(node.ops, 1):
            if operand.op in ("in", "notin"):
                if not _constant(sides[number]):
                    operand.expr = _filter("_within", operand.expr)
            elif not _constant(sides[number - 1]) and not _constant(sides[number]):
                operand.expr = _filter("_read", operand.expr)
                if number == 1:
                    node.expr = _filter("_read", node.expr)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filter("_read", node.key)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        return _filter("_joined", nodes.Tuple(node.nodes, "load", lineno=node.lineno))


def counted(template: nodes.Template) -> nodes.Template:
    """Return a parsed template that calls `COUNTERS` wherever it works; the nodes are changed in place."""
    result: nodes.Template = _Counting().visit(template)
    return result


def _filter(name: str, node: Any, args: Sequence[nodes.Expr] = ()) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno, environment=node.environment)


def _constant(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) or (isinstance(node, nodes.List | nodes.Tuple) and all(map(_constant, node.items)))


# All filters and tests take the context: so Jinja never calls them when it compiles.
@pass_context
def steps(_: Context, items: Iterable[Any], more: int = 0) -> Iterator[Any]:
    """Take off each turn of a loop, and `more` beside it."""
    work = WORK.get()
    for item in items:
        work.spend(work.step + more)
        yield item


@pass_context
def _shown(_: Context, value: Any) -> str:
    work = WORK.get()
    if not isinstance(value, str):
        work.read(value)
        value = str(value)
    work.spend(len(value))
    return value  # type: ignore[no-any-return]


@pass_context
def _joined(_: Context, values: Sequence[Any]) -> str:
    work = WORK.get()
    for value in values:
        work.read(value)
    return "".join(map(str, values))


@pass_context
def _sliced(_: Context, value: Any, *bounds: Any) -> Any:
    part = slice(*bounds)
    if isinstance(value, str | list | tuple) and all(bound is None or isinstance(bound, int) for bound in bounds):
        WORK.get().spend(len(range(*part.indices(len(value)))) * (1 if isinstance(value, str) else 8))
    return value[part]


@pass_context
def _read(_: Context, value: Any) -> Any:
    WORK.get().read(value)
    return value


@pass_context
def _within(_: Context, value: Any) -> Any:
    """Pass on what something is looked for in; mappings look up."""
    if not isinstance(value, dict):
        WORK.get().read(value, 2)
    return value


def made(result: Any) -> Any:
    """Take off what has been made, and pass it on."""
    if isinstance(result, str):
        WORK.get().spend(len(result))
    elif isinstance(result, list | tuple | dict):
        WORK.get().spend(8 * len(result))
    return result


def escaped(*values: Any) -> int:
    """Return by how much text may lengthen beyond what is told, as safe text escapes what is put to it."""
    return 6 if any(isinstance(value, Markup) for value in values) else 1


COUNTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"_steps": steps, "_shown": _shown, "_joined": _joined, "_sliced": _sliced, "_read": _read, "_within": _within}
)
"""The filters that a counted template calls, by their names there."""
