import collections
import enum
import math
import os
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.code.values import Closed, TooLarge, Wire, decode, encode

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(10**80), 10**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9))
)
hashable = st.recursive(plain, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hashable, inner, max_size=3) | st.sets(hashable, max_size=3),
    max_leaves=8,
)


def travelled(value: Any) -> Any:
    reading, writing = os.pipe()
    try:
        wire = Wire(reading, writing, 60_000)
        kept: list[Any] = []
        wire.send(encode(value, lambda thing: kept.append(thing) or len(kept) - 1))
        return decode(wire.receive(), lambda number: ("reference", number))
    finally:
        os.close(reading)
        os.close(writing)


@given(values)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value
    assert type(arrived) is type(value)
    assert repr(arrived) == repr(value) or isinstance(value, set | frozenset | dict | list | tuple)


class Point(NamedTuple):
    x: int


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Word(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Colour(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1), (1,)),
        (Liar(4), 4),
        (Word("this"), "this"),
        (Colour.RED, 3),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        ([int, str], [int, str]),
        (bytearray(b"x"), bytearray(b"x")),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("0.10"), Decimal("0.10")),
    ],
)
def test_a_subclass_arrives_as_the_plain_type(value: Any, plain: Any) -> None:
    arrived = travelled(value)
    assert type(arrived) is type(plain)
    assert arrived == plain


def test_not_a_number_arrives_as_not_a_number() -> None:
    assert math.isnan(travelled(math.nan))


@pytest.mark.parametrize("value", [object(), lambda: 0, iter([1]), np.zeros(3), ValueError, collections.deque([1])])
def test_anything_else_stays_behind_as_a_reference(value: Any) -> None:
    assert travelled([1, value]) == [1, ("reference", 0)]


@pytest.mark.parametrize(
    "data",
    [
        {"a": 1},
        ["type", "exec"],
        ["type", "object"],
        ["unknown", 1],
        [],
        ["list"],
        ["Fraction", 1, 0],
        ["int", "zz"],
        ["dict", [[["list", []], 1]]],
    ],
)
def test_what_encode_does_not_make_is_refused(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, IndexError, ArithmeticError)):
        decode(data, int)


def test_a_wire_says_when_a_message_is_too_long_or_the_other_side_is_gone() -> None:
    reading, writing = os.pipe()
    wire = Wire(reading, writing, 10)
    with pytest.raises(TooLarge, match="at most 10"):
        wire.send("x" * 20)
    os.write(writing, b"\xff\xff\xff\xff")
    with pytest.raises(TooLarge, match="4294967295"):
        wire.receive()
    os.write(writing, b"\0\0\0\5ab")
    os.close(writing)
    with pytest.raises(Closed):
        wire.receive()
    os.close(reading)
