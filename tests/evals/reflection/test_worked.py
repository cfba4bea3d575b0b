from fractions import Fraction

import pytest

from pellucid.evals.reflection.worked import Quantity, Shown, Step, Worked

WORKED = Worked(
    "one",
    "?",
    (
        Quantity("a", Fraction(1200)),
        Quantity("b", Fraction(7)),
        Quantity("x", Fraction(8400), "a * b"),
        Quantity("y", Fraction(8393), "x - b"),
    ),
    (
        Step((Shown("a", "1,200"), " times 7 is ", Shown("x", "8,400")), ("x",)),
        Step(("of ", Shown("x", "8400"), " remain ", Shown("y", "8393.0")), ("y",)),
    ),
    "y",
)


def test_what_is_unchanged_stays_as_it_was_written() -> None:
    assert WORKED.line(0) == "1,200 times 7 is 8,400"
    assert WORKED.line(1, WORKED.values()) == "of 8400 remain 8393.0"
    assert WORKED.conclusion(WORKED.values()) == "the answer is 8393."


def test_a_change_reaches_what_follows_from_it_and_nothing_else() -> None:
    changed = WORKED.values({"x": Fraction(8500)})
    assert changed == {"a": 1200, "b": 7, "x": 8500, "y": 8493}
    assert WORKED.line(0, changed) == "1,200 times 7 is 8,500"
    assert WORKED.line(1, changed) == "of 8500 remain 8493"
    with pytest.raises(KeyError):
        WORKED.conclusion({})
