"""Worked answers in the format of GSM8K (Cobbe et al. 2021, arXiv 2110.14168): one calculation in <<a*b=c>> before each result.

Which number came from which calculation is not said there; it is told by its value. A calculation whose result also occurs in the
question, or is the result of another, could not be told apart, and takes no error.
"""

import re
from fractions import Fraction

from pellucid.evals.reflection.quantities import evaluate, read_digits
from pellucid.evals.reflection.worked import Quantity, Shown, Step, Worked

__all__ = ["UnusableError", "read_worked"]

_CALCULATION = re.compile(r"<<([^<>=]+)=([^<>]+)>>")
_NUMBER = re.compile(r"\d[\d,]*\d(?:\.\d+)?|\d(?:\.\d+)?|\.\d+")


class UnusableError(ValueError):
    """A worked answer that cannot be used; its text is the reason by which such items are counted."""


def read_worked(id_: str, question: str, solution: str, answer: str) -> Worked:
    """Return a worked answer from its text with calculations, and the final answer.

    Raises `UnusableError` where there are no calculations, one is not exact (1/3 as .33) or not readable, or the last result is not
    the answer.
    """
    reader = _Reader(question)
    lines = [line.strip() for line in solution.strip().splitlines() if line.strip()]
    steps = tuple(reader.step(line) for line in lines)
    results = [quantity for quantity in reader.quantities if quantity.expression is not None]
    if not results:
        raise UnusableError("no calculation")
    try:
        final = read_digits(answer.strip().lstrip("$"))
    except ValueError as error:
        raise UnusableError("the answer is not a number") from error
    if results[-1].value != final:
        raise UnusableError("the last calculation is not the answer")
    return Worked(id_, question.strip(), tuple(reader.quantities), steps, results[-1].name)


class _Reader:
    """Goes through the lines of one worked answer and names its numbers."""

    def __init__(self, question: str) -> None:
        self.quantities: list[Quantity] = []
        self._asked = {read_digits(found[0]) for found in _NUMBER.finditer(question)}
        self._by_value: dict[Fraction, str] = {}  # results that a later number of this value can only come from
        self._ambiguous: set[Fraction] = set()

    def step(self, line: str) -> Step:
        parts: list[str | Shown] = []
        results: list[str] = []
        end = 0
        for found in _CALCULATION.finditer(line):
            parts += self._text(line[end : found.start()])
            name, value = self._calculation(found[1], found[2])
            end = found.end()
            shown = _NUMBER.match(line, end)
            if shown is None or read_digits(shown[0]) != value:
                raise UnusableError("the result is not written after its calculation")
            parts.append(Shown(name, shown[0]))
            results.append(name)
            end = shown.end()
        parts += self._text(line[end:])
        return Step(tuple(parts), tuple(results))

    def _calculation(self, expression: str, result: str) -> tuple[str, Fraction]:
        names = {}

        def named(found: re.Match[str]) -> str:
            value = read_digits(found[0])
            name = self._by_value.get(value) or f"n{len(self.quantities)}"
            if value not in self._by_value:
                self.quantities.append(Quantity(name, value))
            names[name] = value
            return name

        written = _NUMBER.sub(named, expression.replace("%", "*0.01").strip())
        try:
            value, stated = evaluate(written, names), read_digits(result.strip())
        except ValueError as error:
            raise UnusableError("a calculation that cannot be read") from error
        if value != stated:
            raise UnusableError("a calculation that is not exact")
        name = f"r{len(self.quantities)}"
        self.quantities.append(Quantity(name, value, written))
        self._note(name, value)
        return name, value

    def _note(self, name: str, value: Fraction) -> None:
        if value in self._asked or value in self._ambiguous or value in self._by_value:
            self._by_value.pop(value, None)
            self._ambiguous.add(value)
        else:
            self._by_value[value] = name

    def _text(self, text: str) -> list[str | Shown]:
        parts: list[str | Shown] = []
        end = 0
        for found in _NUMBER.finditer(text):
            if (name := self._by_value.get(read_digits(found[0]))) is not None:
                parts += [text[end : found.start()], Shown(name, found[0])]
                end = found.end()
        return [part for part in (*parts, text[end:]) if part]
