from collections.abc import Callable
from typing import Any

import pytest

from pellucid.evals.code.remote import Caller, Remote, describe

Serving = Callable[[str], Caller]

PROGRAM = """
import collections
calls = []

class Node:
    def __init__(self, value):
        self.value, self.left = value, None

def depth(node):
    return 0 if node is None else 1 + depth(node.left)

def double(x, *, times=2):
    calls.append(x)
    return x * times

def fail(kind):
    own = type("Own", (LookupError,), {})
    raise {"value": ValueError("it's wrong"), "key": KeyError("k"), "exit": SystemExit(0), "own": own("mine")}[kind]

def count():
    yield from range(3)

def apply(kind, x):
    return kind(x)

def later():
    return collections.defaultdict(lambda: 7)

class Bag:
    def __init__(self, *things):
        self.things = things

    def __len__(self):
        return len(self.things)

    def __getitem__(self, at):
        return self.things[at]

    def __str__(self):
        return f"{len(self.things)} things"

    def __eq__(self, other):
        calls.append(other)
        return True

    def __contains__(self, wanted):
        calls.append(wanted)
        return True
"""


def test_functions_of_the_program_are_called_with_plain_values(serving: Serving) -> None:
    caller = serving(PROGRAM)
    caller.run()
    double = caller.name("double")
    assert double(3) == 6
    assert double("ab", times=3) == "ababab"
    assert double((1, [2])) == (1, [2], 1, [2])
    assert caller.name("calls") == [3, "ab", (1, [2])]
    assert caller.name("apply")(int, "7") == 7


def test_objects_stay_with_the_program_and_are_built_there(serving: Serving) -> None:
    caller = serving(PROGRAM)
    caller.run()
    node = caller.name("Node")
    root = node(1)
    root.left = node(2)
    assert isinstance(root, Remote)
    assert root.left.value == 2
    assert caller.name("depth")(root) == 2
    assert list(caller.name("count")()) == [0, 1, 2]
    assert root != node(1)


def test_an_object_is_counted_indexed_and_shown_but_never_asked_what_it_equals(serving: Serving) -> None:
    caller = serving(PROGRAM)
    caller.run()
    bag, empty = caller.name("Bag")(4, (5, 6)), caller.name("Bag")()
    assert (len(bag), bag[1], bag[-2], str(bag), list(bag)) == (2, (5, 6), 4, "2 things", [4, (5, 6)])
    assert bag and not empty
    assert 4 in bag
    assert 41 not in bag
    assert bag != 41
    assert caller.name("calls") == [], "what is expected stays here"
    with pytest.raises(TypeError):
        len(caller.name("double"))
    assert caller.name("double"), "what says nothing else is true"
    with pytest.raises(IndexError):
        bag[2]
    assert caller.name("later")()["missing"] == 7


@pytest.mark.parametrize(
    ("which", "kind"), [("value", ValueError), ("key", KeyError), ("own", LookupError), ("exit", RuntimeError), ("none", KeyError)]
)
def test_exceptions_arrive_as_the_nearest_builtin_one_and_never_end_the_check(serving: Serving, which: str, kind: type) -> None:
    caller = serving(PROGRAM)
    caller.run()
    with pytest.raises(kind) as raised:
        caller.name("fail")(which)
    assert type(raised.value) is kind
    assert caller.raised is raised.value
    assert "line 1" in caller.excerpt


def test_a_missing_name_and_a_function_handed_over_are_said_to_be_so(serving: Serving) -> None:
    caller = serving(PROGRAM)
    caller.run()
    with pytest.raises(NameError, match="does not define nothing"):
        caller.name("nothing")
    with pytest.raises(TypeError, match="plain values only"):
        caller.name("double")(lambda: 0)


def test_a_program_that_does_not_compile_is_its_own_failure(serving: Serving) -> None:
    caller = serving("def f(:\n")
    with pytest.raises(SyntaxError):
        caller.run()
    assert "SyntaxError" in caller.excerpt


def test_a_description_is_short_and_survives_a_hostile_text() -> None:
    class LieError(Exception):
        def __str__(self) -> str:
            raise SystemExit(0)

    assert "LieError" in describe(LieError())
    long: Any = ValueError("x" * 10_000)
    assert len(describe(long)) < 1000
