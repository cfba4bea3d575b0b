import collections
import datetime
import enum
import math
import os
import zoneinfo
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
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
hashable = st.recursive(plain, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.builds(collections.deque, st.lists(inner, max_size=3), st.none() | st.integers(3, 5))
        | st.builds(collections.OrderedDict, st.dictionaries(hashable, inner, max_size=3))
        | st.builds(collections.defaultdict, st.sampled_from([None, int, list]), st.dictionaries(hashable, inner, max_size=3))
        | st.builds(collections.Counter, st.lists(hashable, max_size=3))
    ),
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
    assert repr(arrived) == repr(value) or isinstance(value, set | frozenset | dict | list | tuple | collections.deque)


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


class Order(collections.OrderedDict[str, int]):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


class Day(datetime.date):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = datetime.date.__hash__


class Colour(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1), (1,)),
        (Liar(4), 4),
        (Word("this"), "this"),
        (Colour.RED, 3),
        (collections.Counter("aab"), collections.Counter(a=2, b=1)),
        (Order(a=1), collections.OrderedDict(a=1)),
        (Day(2024, 2, 29), datetime.date(2024, 2, 29)),
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


def test_views_of_dictionaries_arrive_as_views() -> None:
    ages = {"a": [1], "b": [2]}
    assert travelled(ages.keys()) == ages.keys() == {"a", "b"}
    assert list(travelled(collections.OrderedDict(ages).keys())) == ["a", "b"]
    assert travelled(ages.items()) == ages.items()
    assert list(travelled(ages.values())) == [[1], [2]]
    assert type(travelled(ages.values())) is type(ages.values())


def test_containers_keep_what_sets_them_apart_from_a_dictionary_or_list() -> None:
    assert travelled(collections.OrderedDict(a=1, b=2)) != collections.OrderedDict(b=2, a=1)
    assert travelled(collections.defaultdict(list, a=[1]))["new"] == []
    assert travelled(collections.deque([1, 2], 2)).maxlen == 2
    assert travelled(collections.Counter("aab")).most_common(1) == [("a", 2)]


def test_a_time_with_a_zone_arrives_as_the_same_moment() -> None:
    moment = datetime.datetime(2024, 7, 1, 12, 0, 0, 5, datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    assert travelled(moment) == moment
    assert travelled(moment).utcoffset() == moment.utcoffset()
    paris = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"), fold=1)
    assert travelled(paris).astimezone(datetime.UTC) == paris.astimezone(datetime.UTC)
    assert travelled(paris).fold == 1


def test_not_a_number_arrives_as_not_a_number() -> None:
    assert math.isnan(travelled(math.nan))


@pytest.mark.parametrize("value", [object(), lambda: 0, iter([1]), np.zeros(3), ValueError])
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
        ["keys", [["list", []]]],
        ["items", [1]],
        ["defaultdict", [], 3],
        ["deque", [], "x"],
        ["datetime", "now", 0],
        ["timedelta", "x", 0, 0],
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
