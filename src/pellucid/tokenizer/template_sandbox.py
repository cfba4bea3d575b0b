"""The Jinja environment of chat templates: that of transformers, counting all by which a template could grow without end."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from pellucid.tokenizer.template_growth import GROWING, growth

__all__ = ["MOST_CHARS", "STEP_CHARS", "WORK", "ChatEnvironment", "RefusalError", "Work"]

# Characters that one rendering may make, those of intermediate strings included: far above any conversation, and a moment's work.
MOST_CHARS = 10**8
# What a turn of a loop or a call costs besides: with it, no more loops than take a few seconds.
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


# Filters and operators of a compiled template have no other way to know whose rendering they serve.
WORK: ContextVar[Work] = ContextVar("rendering")


class RefusalError(TemplateError):
    """What a template itself raises."""


class _TooCostlyError(SecurityError):
    """A rendering beyond its bounds."""


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """transformers' environment, with everything counted by which a template could grow without end."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, now: datetime) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        for name in GROWING & self.filters.keys():
            self.filters[name] = _bounded(name, self.filters[name])
        self.filters |= {"tojson": _tojson, "_steps": _steps, "_shown": _shown, "_joined": _joined}
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _clock(now),
            "dict": _Dict(),
            "namespace": _Namespace,
        }
        del self.filters["random"], self.globals["lipsum"]

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse at once: Jinja would print nothing for the attribute, and complain only when it is used."""
        raise SecurityError(f"the attribute {attribute!r} of a {type(obj).__name__} is out of reach")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Count the size of a result before there is one."""
        WORK.get().spend(growth(operator, left, (right,), {}))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as in Jinja)
        """Count the call, and what a method of a string makes; a recursive loop's turns count as those of any loop."""
        work = WORK.get()
        work.spend(work.step)
        # Jinja wraps the two methods that format.
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(owner, str):
            work.spend(growth(__obj.__name__, owner, args, kwargs))
        elif isinstance(__obj, LoopContext) and args:
            args = (_steps(__context, args[0]), *args[1:])
        return super().call(__context, __obj, *args, **kwargs)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Counting().visit(source), *args, **kwargs)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: the block between the two characters of the rendering."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own form)

    def parse(self, parser: Parser) -> nodes.Node:
        """Return a call of `_marked` with the block; a call block as in transformers, so that names set inside stay inside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        start, end = WORK.get().marks
        return start + caller() + end


class _Counting(NodeTransformer):
    """Puts our counters around what loops run over, what is shown, and what `~` joins."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        node.iter = _filter("_steps", node.iter)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        plain = (nodes.TemplateData, nodes.Const)
        node.nodes = [child if isinstance(child, plain) else _filter("_shown", child) for child in node.nodes]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 (Jinja's way of naming)
        self.generic_visit(node)
        return _filter("_joined", nodes.Tuple(node.nodes, "load", lineno=node.lineno))


def _filter(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


@pass_context
def _steps(_: Context, items: Iterable[Any]) -> Iterator[Any]:
    work = WORK.get()
    for item in items:
        work.spend(work.step)
        yield item


# These take the context so that Jinja does not call them when it compiles.
@pass_context
def _shown(_: Context, value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    WORK.get().spend(len(text))
    return text


@pass_context
def _joined(_: Context, values: Sequence[Any]) -> str:
    texts = [str(value) for value in values]
    WORK.get().spend(sum(map(len, texts)))
    return "".join(texts)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of Jinja's with the size of its result counted beforehand."""
    takes_first = hasattr(function, "jinja_pass_arg")

    def counted(*args: Any, **kwargs: Any) -> Any:
        first, (subject, *others) = args[:takes_first], args[takes_first:]
        if isinstance(subject, Iterator):
            subject = list(subject)
        WORK.get().spend(growth(name, subject, others, kwargs))
        return function(*first, subject, *others, **kwargs)

    # Jinja marks by attributes that a filter wants the context or the environment first, and wraps asynchronous ones.
    counted.__dict__.update(function.__dict__)
    return counted


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _clock(now: datetime) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        WORK.get().spend(growth("%", form, ((),), {}))
        return now.strftime(form)

    return strftime_now


def _raise_exception(message: str) -> None:
    raise RefusalError(str(message))


class _Dict:
    """`dict` without the class behind it."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class _Namespace(Namespace):
    """A namespace that takes no private names."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        values = dict(*args[1:], **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no name with a leading underscore, as {name!r}")
