"""Lines and JSON values out of chunks of bytes, with a bound on what is held of any of them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pellucid.documents.document import RAW_BYTES
from pellucid.documents.streams import CutShortError

__all__ = ["Span", "json_values", "lines"]


@dataclass(slots=True)
class Span:
    """A piece of a file: offset of its first byte, its true size, and its bytes, or only their beginning where `cut`."""

    offset: int
    size: int
    data: bytes
    cut: bool = False


class _Pending:
    """Bytes that come in parts; from `limit` on only the beginning is kept, and the size still counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        if self.size <= self._limit:
            self._parts.append(part)
        self.size += len(part)
        if self.size > self._limit and len(self._parts) > 1:
            self._parts = [b"".join(self._parts[:2])[:RAW_BYTES]]

    def take(self, offset: int, more: int = 0) -> Span:
        data, size, cut = b"".join(self._parts), self.size + more, self.size > self._limit
        self._parts, self.size = [], 0
        return Span(offset, size, data[:RAW_BYTES] if cut else data, cut)


def lines(parts: Iterable[bytes], limit: int, offset: int = 0) -> Iterator[Span]:
    """Yield the lines of a stream without their line feeds, which their sizes count; lines longer than `limit` are cut.

    `offset` is the place of the stream's first byte. A `CutShortError` of the stream comes after the lines before it, and carries
    the line in which it happened. Up to twice `limit` is held while a line is put together.
    """
    pending = _Pending(limit)
    try:
        for part in parts:
            first, *others = part.split(b"\n")
            pending.add(first)
            if not others:
                continue
            span = pending.take(offset, 1)
            offset += span.size
            yield span
            last = others.pop()
            for line in others:
                size = len(line) + 1
                yield Span(offset, size, line) if size <= limit else Span(offset, size, line[:RAW_BYTES], cut=True)
                offset += size
            pending.add(last)
    except CutShortError as error:
        raise _with_rest(error, pending.take(offset)) from error.__cause__
    if pending.size:
        yield pending.take(offset)


def _with_rest(error: CutShortError, span: Span) -> CutShortError:
    error.rest, error.size, error.offset = span.data, span.size, span.offset
    return error


_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_BLANK = b"\xef\xbb\xbf \t\r\n"
_QUOTE, _BACKSLASH, _COMMA = b'"'[0], b"\\"[0], b","[0]


class _Values:
    """Finds where values begin and end by quotes and brackets alone; whether they are JSON is for the parser to say."""

    def __init__(self, limit: int) -> None:
        self._pending = _Pending(limit)
        self._in_string = self._escaped = False
        self._depth = 0
        self._base: int | None = None  # 1 inside the brackets of an array, 0 when values follow each other
        self._start = self._at = 0
        self.finished = False

    def feed(self, part: bytes) -> Iterator[Span]:
        begin = position = 0
        if self._base is None and (content := part.lstrip(_BLANK)):
            self._base = int(content[:1] == b"[")
        base = self._base or 0
        while position < len(part):
            if self._escaped:
                self._escaped, position = False, position + 1
                continue
            match = (_INSIDE if self._in_string else _OUTSIDE).search(part, position)
            if match is None:
                break
            position = match.end()
            mark = part[match.start()]
            if self._in_string:
                self._in_string, self._escaped = mark != _QUOTE, mark == _BACKSLASH
            elif mark == _QUOTE:
                self._in_string = True
            elif mark == _COMMA:
                if self._depth == base:
                    yield from self._close(part[begin : match.start()], 1)
                    begin = position
            elif mark in b"{[":
                self._depth += 1
                if self._depth == base == 1 and not self.finished:
                    self._pending.take(0)  # blanks before the array
                    begin = position
                    self._start = self._at + position
            else:
                self._depth -= 1
                if self._depth == base:
                    yield from self._close(part[begin:position], 0)
                    begin = position
                elif self._depth < base:
                    yield from self._close(part[begin : match.start()], 1)
                    begin, self._depth, self.finished = position, max(0, self._depth), True
        self._pending.add(part[begin:])
        self._at += len(part)

    def _close(self, data: bytes, separator: int) -> Iterator[Span]:
        self._pending.add(data)
        span = self._pending.take(self._start)
        self._start += span.size + separator
        if span.cut or span.data.strip(_BLANK):
            yield span

    def rest(self) -> Span:
        """Return what was not closed."""
        return self._pending.take(self._start)

    @property
    def open(self) -> bool:
        """Whether a value was not closed, or the array."""
        return self._in_string or self._depth > 0 or (self._base == 1 and not self.finished)


def json_values(parts: Iterable[bytes], limit: int) -> Iterator[Span]:
    """Yield the elements of a JSON array, or the values that stand one after the other, as bytes; longer ones than `limit` are cut.

    Raises `CutShortError` after the last of them when the array or a value is not closed, or when the stream raises it.
    """
    values = _Values(limit)
    try:
        for part in parts:
            yield from values.feed(part)
    except CutShortError as error:
        raise _with_rest(error, values.rest()) from error.__cause__
    is_open, rest = values.open, values.rest()
    if is_open:
        raise _with_rest(CutShortError("the JSON array or value is not closed"), rest)
    if rest.data.strip(_BLANK):
        yield rest
