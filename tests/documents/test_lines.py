import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.document import RAW_BYTES
from pellucid.documents.lines import json_values, lines
from pellucid.documents.streams import CutShortError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[],\n ü'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(
    data=st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n")), size=st.integers(1, 70), offset=st.integers(0, 9)
)
def test_lines_are_those_of_a_file_whatever_the_chunks(data: bytes, size: int, offset: int) -> None:
    spans = list(lines(cut(data, size), 100, offset))
    assert [span.data for span in spans] == [line.removesuffix(b"\n") for line in data.split(b"\n")][: len(spans)]
    assert sum(span.size for span in spans) == len(data)
    assert [span.offset for span in spans] == [offset + sum(span.size for span in spans[:n]) for n in range(len(spans))]


@given(
    sizes=st.lists(st.sampled_from([0, 1, 5, 100_000, 200_000]), max_size=5), chunk=st.sampled_from([1000, 65_536, 70_001, 1 << 20])
)
def test_a_line_over_the_limit_keeps_its_size_and_its_beginning_only(sizes: list[int], chunk: int) -> None:
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    spans = list(lines(cut(data, chunk), 150_000))
    assert [(span.size, span.cut) for span in spans] == [(size + 1, size > 150_000) for size in sizes]
    assert all(len(span.data) <= RAW_BYTES for span in spans if span.cut)
    assert all(span.data for span in spans if span.cut)


def test_a_line_of_a_gigabyte_is_passed_over_without_being_held() -> None:
    import tracemalloc

    def parts() -> Iterator[bytes]:
        block = b"x" * (1 << 20)
        for _ in range(1024):
            yield block
        yield b'\n{"text": "next"}\n'

    tracemalloc.start()
    long, after = lines(parts(), 8 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (long.size, long.cut, after.data) == ((1 << 30) + 1, True, b'{"text": "next"}')
    assert peak < 32 << 20


@given(
    values=st.lists(JSON, max_size=5),
    array=st.booleans(),
    size=st.integers(1, 40),
    between=st.sampled_from(["", "\n", "  \r\n"]),
    indent=st.sampled_from([None, 2]),
)
def test_json_values_are_found_in_arrays_and_one_after_the_other(
    values: list[Any], array: bool, size: int, between: str, indent: int | None
) -> None:
    texts = [json.dumps(value if array else {"v": value}, ensure_ascii=False, indent=indent) for value in values]
    text = f"{between}[{between}{f',{between}'.join(texts)}]{between}" if array else between.join(texts) + between
    data = text.encode()
    spans = list(json_values(cut(data, size), 10_000))
    assert [json.loads(span.data) for span in spans] == [value if array else {"v": value} for value in values]
    assert all(data[span.offset : span.offset + span.size] == span.data for span in spans)


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": ', '[{"a": 1}', '{"a": 1}{"b": "', "["])
def test_json_that_is_not_closed_gives_what_is_whole_and_then_says_so(text: str) -> None:
    found = []
    with pytest.raises(CutShortError, match="not closed") as caught:
        found.extend(json.loads(span.data) for span in json_values([text.encode()], 100))
    assert found == ([] if text == "[" else [{"a": 1}])
    assert text.endswith(caught.value.rest.decode())


def test_a_giant_json_value_is_passed_over() -> None:
    data = b'[{"a": "' + b"x" * 400_000 + b'"}, {"a": 1}]'
    long, short = json_values(cut(data, 1000), 100_000)
    assert (long.size, long.cut, len(long.data)) == (400_009, True, 1999)
    assert json.loads(short.data) == {"a": 1}


def test_what_was_cut_short_is_handed_over_with_its_place() -> None:
    def parts() -> Iterator[bytes]:
        yield b"one\ntw"
        raise CutShortError("damaged")

    spans = lines(parts(), 100, 10)
    assert next(spans).data == b"one"
    with pytest.raises(CutShortError, match="damaged") as caught:
        next(spans)
    assert (caught.value.rest, caught.value.size, caught.value.offset) == (b"tw", 2, 14)
