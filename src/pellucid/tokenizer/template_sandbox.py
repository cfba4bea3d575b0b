"""The Jinja environment of chat templates: that of transformers with only what they use, and counted what all of it costs."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

from jinja2 import Undefined, nodes, pass_context, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJAS_TESTS
from jinja2.utils import Namespace

from pellucid.tokenizer.template_growth import FREE, GROWING, LAZY, READING, TESTS, growth, reachable, searched
from pellucid.tokenizer.template_work import COUNTERS, WORK, RefusalError, counted, escaped, made, steps

__all__ = ["ChatEnvironment"]

# Decimals that may be asked for, and blanks or marks before an item of JSON.
_MOST_DIGITS = 100
_MOST_INDENT = 16


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """transformers' environment, with only what chat templates use, and all counted by which one could work without end."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, now: datetime) -> None:
        # What the compiler works out itself is counted nowhere.
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], optimized=False)
        for name, function in FILTERS.items():
            allowed = name in FREE | LAZY | READING
            self.filters[name] = _bounded(name, function) if allowed else _withheld("filter", name)
        for name, function in JINJAS_TESTS.items():
            self.tests[name] = _tested(function, TESTS[name]) if name in TESTS else _withheld("test", name)
        self.filters |= {"tojson": _tojson, "round": _bounded("round", _rounded), "sum": _bounded("sum", _summed)}
        self.filters |= COUNTERS
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _clock(now),
            "dict": _Dict(),
            "namespace": _Namespace,
        }
        del self.globals["lipsum"]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow what is on the list for this kind of value."""
        return super().is_safe_attribute(obj, attr, value) and (isinstance(obj, _Dict) or reachable(obj, attr))

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse at once: Jinja would print nothing for the attribute, and complain only when it is used."""
        raise SecurityError(f"the attribute {attribute!r} of a {type(obj).__name__} is out of reach")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Count what it takes to look a tuple up."""
        if not isinstance(argument, str | int):
            WORK.get().read(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Count the size of a result before there is one."""
        work = WORK.get()
        if operator == "%" and isinstance(left, str):
            work.read(right)
        work.spend(escaped(left, right) * growth(operator, left, (right,), {}))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as in Jinja)
        """Count the call, what it is given, and what a method makes; a recursive loop's turns count as those of any loop."""
        work = WORK.get()
        work.spend(work.step + 16 * (len(args) + len(kwargs)))
        if isinstance(__obj, LoopContext):
            args = (steps(__context, args[0]), *args[1:]) if args else args
        elif not isinstance(__obj, Macro) and __obj is not _Namespace:
            # A macro only hands on what it is given.
            args = tuple(list(value) if isinstance(value, Iterator) else value for value in args)
            # Jinja hands on the names of the block under keys of its own.
            named = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
            for value in (*args, *named.values()):
                work.read(value)
            # Jinja wraps the two methods that format.
            owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
            if isinstance(owner, str):
                given = (*args, *named.values())
                work.spend(len(owner) + searched(__obj.__name__, owner, given))
                work.spend(escaped(owner, *given) * growth(__obj.__name__, owner, args, named))
                return made(super().call(__context, __obj, *args, **kwargs))
            if isinstance(owner, list | tuple):
                work.read(owner)
        return super().call(__context, __obj, *args, **kwargs)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(counted(source), *args, **kwargs)


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


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of Jinja's that counts what it reads and what it makes, both beforehand as far as they can be told."""
    first = _first_argument(function)
    times = 20 if name in ("sort", "groupby", "dictsort", "unique", "min", "max") else 6 if name in ("e", "escape") else 1

    @pass_context
    def bounded(context: Context, subject: Any, *args: Any, **kwargs: Any) -> Any:
        work = WORK.get()
        before, given = work.left, (*args, *kwargs.values())
        for value in given:
            work.read(value)
        # Every item may be looked at by all that was given.
        more = before - work.left
        if name in LAZY:
            result = function(*first(context), subject, *args, **kwargs)
            return steps(context, result, more) if isinstance(result, Iterator) else made(result)
        if name in FREE:
            return function(*first(context), subject, *args, **kwargs)
        if isinstance(subject, Iterator):
            subject = list(subject)
        work.read(subject, times)
        if not isinstance(subject, str) and isinstance(subject, Collection):
            work.spend(len(subject) * more)
        if name in GROWING:
            work.spend(escaped(subject, *given) * growth(name, subject, args, kwargs))
        elif name in ("trim", "int"):
            work.spend(searched("strip", str(subject), given))
        result = function(*first(context), subject, *args, **kwargs)
        return steps(context, result) if isinstance(result, Iterator) else made(result)

    return bounded


def _tested(function: Any, reads: bool) -> Callable[..., Any]:
    first = _first_argument(function)

    @pass_context
    def tested(context: Context, *values: Any, **kwargs: Any) -> Any:
        if reads:
            for value in (*values, *kwargs.values()):
                WORK.get().read(value, 2)
        return function(*first(context), *values, **kwargs)

    return tested


def _withheld(kind: str, name: str) -> Callable[..., Any]:
    @pass_context
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise SecurityError(f"the {kind} {name!r} is out of reach")

    return refuse


def _first_argument(function: Callable[..., Any]) -> Callable[[Context], tuple[Any, ...]]:
    """Return what gives, of a context, that which Jinja's function wants before all else."""
    wanted = getattr(getattr(function, "jinja_pass_arg", None), "name", None)
    if wanted == "context":
        return lambda context: (context,)
    if wanted == "eval_context":
        return lambda context: (context.eval_ctx,)
    if wanted == "environment":
        return lambda context: (context.environment,)
    return lambda _: ()


@pass_context
def _tojson(
    _: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    width = len(indent) if isinstance(indent, str) else indent or 0
    if width > _MOST_INDENT or any(len(mark) > _MOST_INDENT for mark in separators or ()):
        raise SecurityError(f"tojson takes an indent and separators of {_MOST_INDENT} characters at most")
    # A character becomes up to six, or twelve where it is outside the first plane.
    WORK.get().read(value, 12 if ensure_ascii else 6, width)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _rounded(value: Any, precision: Any = 0, method: str = "common") -> Any:
    if isinstance(precision, int) and abs(precision) > _MOST_DIGITS:
        raise SecurityError(f"round takes a precision of {_MOST_DIGITS} digits at most, not {precision}")
    return FILTERS["round"](value, precision, method)


@pass_environment
def _summed(environment: Any, iterable: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    if not isinstance(start, int | float):
        raise SecurityError(f"sum adds numbers, and does not start with a {type(start).__name__}")
    return FILTERS["sum"](environment, iterable, attribute, start)


def _clock(now: datetime) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        WORK.get().spend(growth("%", form, ((),), {}))
        return str(made(now.strftime(form)))

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
