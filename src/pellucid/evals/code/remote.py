"""The two ends of a check: the program's process serves what it defines, the check's process calls it.

Served requests are [what, number of the object, …]; object 0 is the program's module. Answers are {"value": …} or {"raised": …}.
Imported by the sandboxed child, so nothing but the standard library is used here.
"""

import builtins
import contextlib
import itertools
import linecache
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

from pellucid.evals.code.values import Closed, Wire, decode, encode

__all__ = ["EXCERPT_CHARS", "PROGRAM", "Caller", "Remote", "describe", "serve"]

PROGRAM = "<program>"
EXCERPT_CHARS = 600
_PLAIN: dict[str, Callable[[Any], Any]] = {"len": len, "str": str, "bool": bool}
_ITERATED = 1_000_000  # at most so many things are taken from an iterator


def describe(error: BaseException, file: str = PROGRAM) -> str:
    """Return an exception in a line: its type, text, and the last line of `file` that it passed through."""
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except BaseException:
        text = f"{type(error).__name__} (its text cannot be had)"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return text[:EXCERPT_CHARS] + (f" (line {lines[-1]})" if lines else "")


def serve(wire: Wire, program: str) -> None:
    """Run the program when told to, and answer requests until the other side is gone."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    objects: list[Any] = [module]

    def refer(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    while True:
        try:
            what, number, arguments = wire.receive()
        except Closed:
            return
        try:
            value = _do(what, objects[number], decode(arguments, objects.__getitem__), program)
            answer = {"value": encode(value, refer)}
            with contextlib.suppress(Exception):  # it is the program's to close or replace
                sys.stdout.flush()
            wire.send(answer)
        except BaseException as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            wire.send({"raised": kinds, "text": describe(error)})


def _do(what: str, target: Any, arguments: Any, program: str) -> Any:
    if what == "run":
        lines = program.splitlines(keepends=True)
        linecache.cache[PROGRAM] = (len(program), None, lines, PROGRAM)
        exec(compile(program, PROGRAM, "exec", dont_inherit=True), target.__dict__)
        return None
    if what == "call":
        return target(*arguments[0], **arguments[1])
    if what == "set":
        return setattr(target, *arguments)
    if what in _PLAIN:
        return _PLAIN[what](target)
    if what == "item":
        return target[arguments[0]]
    if what == "list":
        return list(itertools.islice(target, _ITERATED))
    return getattr(target, *arguments)


class Caller:
    """The check's end. `raised` is the last exception that came from the program, and `excerpt` its description."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.raised: BaseException | None = None
        self.excerpt = ""

    def run(self) -> None:
        """Run the program's own statements."""
        self.ask("run", 0)

    def name(self, name: str) -> Any:
        """Return what the program defines under this name; raise `NameError` where it does not."""
        try:
            return self.ask("get", 0, name)
        except AttributeError as error:
            raise NameError(f"the program does not define {name}") from error

    def ask(self, what: str, number: int, *arguments: Any) -> Any:
        """Send a request; return its value, or raise the exception it ended with."""
        try:
            self._wire.send([what, number, ["list", [encode(value, self._refer) for value in arguments]]])
        except OSError as error:
            raise Closed from error
        answer = self._wire.receive()
        if "raised" not in answer:
            return decode(answer["value"], lambda number: Remote(self, number))
        self.raised, self.excerpt = _exception(answer), str(answer.get("text"))[: 2 * EXCERPT_CHARS]
        raise self.raised

    @staticmethod
    def _refer(value: Any) -> int:
        if isinstance(value, Remote):
            return int(object.__getattribute__(value, "_number"))
        raise TypeError(f"a check cannot hand a {type(value).__name__} to the program: plain values only")


def _exception(answer: Any) -> BaseException:
    """Return an exception of the nearest builtin type, never one that would end this process."""
    for name in answer["raised"]:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            error = kind.__new__(kind)
            error.args = (str(answer.get("text")),)
            return error
    return RuntimeError(str(answer.get("text")))


class Remote:
    """Something that stays with the program: called, read and set there. Two of them are equal only when they are the same.

    What it is compared with, and what is looked for in it, never reaches the program.
    """

    def __init__(self, caller: Caller, number: int) -> None:
        object.__setattr__(self, "_caller", caller)
        object.__setattr__(self, "_number", number)

    def _ask(self, what: str, *arguments: Any) -> Any:
        caller: Caller = object.__getattribute__(self, "_caller")
        return caller.ask(what, object.__getattribute__(self, "_number"), *arguments)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it in the program's process."""
        return self._ask("call", list(arguments), keywords)

    def __getattr__(self, name: str) -> Any:
        return self._ask("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set", name, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ask("list"))

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", key)

    def __len__(self) -> int:
        return int(self._ask("len"))

    def __bool__(self) -> bool:
        return self._ask("bool") is True

    def __str__(self) -> str:
        text = self._ask("str")
        return text if type(text) is str else ""
