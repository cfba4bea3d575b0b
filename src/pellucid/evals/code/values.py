"""Values on their way between a program and its check: plain data only, so that nothing a program made is run by the check.

A list, tuple, set, dict, number, text, time or a container of `collections` arrives as exactly that type of the library, whatever
subclass it was. Anything else stays with the program and arrives as a reference. Imported by the sandboxed child, so nothing but
the standard library is used here.
"""

import datetime
import json
import os
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, ItemsView, KeysView, ValuesView
from decimal import Decimal
from fractions import Fraction
from typing import Any

__all__ = ["Closed", "TooLarge", "Wire", "decode", "encode"]

_BIG_BITS = 60  # larger integers travel as hexadecimal digits, which have no limit and cost no squared time


class Closed(Exception):  # noqa: N818 - no error: the other side is gone
    """The other side has closed its end."""


class TooLarge(Exception):  # noqa: N818
    """A message is longer than the limit."""


class Wire:
    """Messages of JSON over two file descriptors, each after its length."""

    def __init__(self, incoming: int, outgoing: int, limit_bytes: int) -> None:
        self._incoming, self._outgoing, self._limit = incoming, outgoing, limit_bytes

    def send(self, message: Any) -> None:
        """Send a message; raise `TooLarge` before anything is sent, `OSError` where the other side is gone."""
        data = json.dumps(message).encode()
        if len(data) > self._limit:
            raise TooLarge(f"a value of {len(data)} bytes; at most {self._limit} are handed over")
        view = memoryview(struct.pack(">I", len(data)) + data)
        while view:
            view = view[os.write(self._outgoing, view) :]

    def receive(self) -> Any:
        """Return the next message; raise `Closed` at the end, `TooLarge`, or `ValueError` for what is no JSON."""
        (length,) = struct.unpack(">I", self._read(4))
        if length > self._limit:
            raise TooLarge(f"a value of {length} bytes; at most {self._limit} are handed over")
        return json.loads(self._read(length))

    def _read(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            part = os.read(self._incoming, min(missing, 1 << 20))
            if not part:
                raise Closed
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def encode(value: Any, refer: Callable[[Any], int]) -> Any:
    """Return a value as JSON: itself, or a list of a kind and what is needed to make it again.

    `refer` keeps anything else and returns its number.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int.__index__(value)
        return number if number.bit_length() <= _BIG_BITS else ["int", hex(number)]
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if type(value).__module__ == "numpy" and callable(getattr(value, "item", None)) and not getattr(value, "shape", None):
        return encode(value.item(), refer)
    return _encode_more(value, refer)


def _encode_more(value: Any, refer: Callable[[Any], int]) -> Any:
    for kind, name in _SEQUENCES.items():
        if isinstance(value, kind):
            return [name, [encode(part, refer) for part in value]]
    for kind, name in _VIEWS.items():
        if isinstance(value, kind):
            return [name, [encode(part, refer) for part in value]]
    if isinstance(value, deque):
        return ["deque", [encode(part, refer) for part in value], value.maxlen]
    if isinstance(value, dict):
        pairs = [[encode(key, refer), encode(part, refer)] for key, part in value.items()]
        if isinstance(value, defaultdict):
            return ["defaultdict", pairs, encode(value.default_factory, refer)]
        return [next((name for name, kind in _DICTS.items() if isinstance(value, kind)), "dict"), pairs]
    if isinstance(value, bytes | bytearray):
        return [type(value).__mro__[-2].__name__, bytes(value).hex()]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, range):
        return ["range", *(encode(part, refer) for part in (value.start, value.stop, value.step))]
    if isinstance(value, Decimal):
        return ["Decimal", str(value)]
    if isinstance(value, Fraction):
        return ["Fraction", encode(value.numerator, refer), encode(value.denominator, refer)]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        return _encode_time(value)
    if isinstance(value, type) and value in _TYPES.values():
        return ["type", value.__name__]
    return ["reference", refer(value)]


def _encode_time(value: Any) -> Any:
    """Return a date or time. A time zone becomes its distance from UTC: it stands for the same moment, without the zone's rules."""
    if isinstance(value, datetime.timedelta):
        return ["timedelta", value.days, value.seconds, value.microseconds]
    name = next(name for name, kind in _TIMES.items() if isinstance(value, kind))
    return [name, _TIMES[name].isoformat(value), getattr(value, "fold", 0)]


def _decode_time(kind: Any) -> Callable[..., Any]:
    def make(text: str, fold: int) -> Any:
        made = kind.fromisoformat(text)
        return made.replace(fold=fold) if fold else made

    return make


_TIMES: dict[str, Any] = {"datetime": datetime.datetime, "date": datetime.date, "time": datetime.time}  # a datetime is a date too
_VIEWS: dict[Any, str] = {KeysView: "keys", ItemsView: "items", ValuesView: "values"}
_DICTS: dict[str, Any] = {"Counter": Counter, "OrderedDict": OrderedDict}
_SEQUENCES: dict[Any, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_TYPES = {kind.__name__: kind for kind in (bool, int, float, str, bytes, list, tuple, dict, set, frozenset, complex)}
_MAKERS: dict[str, Callable[..., Any]] = {
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": complex,
    "Decimal": Decimal,
    "int": lambda digits: int(digits, 16),
    "type": _TYPES.__getitem__,
    "timedelta": datetime.timedelta,
    **{name: _decode_time(kind) for name, kind in _TIMES.items()},
}


def decode(data: Any, resolve: Callable[[int], Any]) -> Any:
    """Return the value that `encode` was given; references are what `resolve` makes of their number.

    Raises `ValueError`, `TypeError` or another `Exception` for anything that `encode` does not produce.
    """
    if not isinstance(data, list):
        if data is None or type(data) in (bool, int, float, str):
            return data
        raise ValueError("this is no value")
    kind, *rest = data
    for maker, name in _SEQUENCES.items():
        if kind == name:
            return maker(decode(part, resolve) for part in rest[0])
    if kind in ("dict", "defaultdict", *_DICTS):
        made = {decode(key, resolve): decode(part, resolve) for key, part in rest[0]}
        if kind == "defaultdict":
            return defaultdict(decode(rest[1], resolve), made)
        return _DICTS[kind](made) if kind in _DICTS else made
    if kind in ("keys", "items", "values", "deque"):
        parts = [decode(part, resolve) for part in rest[0]]
        return deque(parts, rest[1]) if kind == "deque" else _view(kind, parts)
    if kind in ("range", "Fraction"):
        return (range if kind == "range" else Fraction)(*(decode(part, resolve) for part in rest))
    if kind == "reference":
        return resolve(int(rest[0]))
    return _MAKERS[kind](*rest)


def _view(kind: str, parts: list[Any]) -> Any:
    """Return a view of a dictionary that is made for it."""
    if kind == "keys":
        return dict.fromkeys(parts).keys()
    return dict(parts).items() if kind == "items" else dict(enumerate(parts)).values()
