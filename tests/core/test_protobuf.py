import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.protobuf import wire_bytes, wire_fields

FIELD = st.tuples(st.integers(1, 2**20), st.integers(0, 2**63) | st.binary(max_size=300))


@given(st.lists(FIELD, max_size=20))
def test_what_is_written_by_the_rules_of_the_format_is_read_back(fields: list[tuple[int, int | bytes]]) -> None:
    data = wire_bytes(fields)
    found = [(number, value if isinstance(value, int) else bytes(value)) for number, value in wire_fields(memoryview(data))]
    assert found == fields


def test_the_reference_implementation_reads_the_same_fields() -> None:
    pytest.importorskip("google.protobuf")
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    message = FileDescriptorProto(name="a.proto", package="p", dependency=["x", "y"], syntax="proto3")
    found = [(number, bytes(value)) for number, value in wire_fields(memoryview(message.SerializeToString()))]
    assert found == [(1, b"a.proto"), (2, b"p"), (3, b"x"), (3, b"y"), (12, b"proto3")]


def test_fixed_width_fields_are_passed_over() -> None:
    data = bytes([1 << 3 | 5, 1, 2, 3, 4, 2 << 3 | 1, *range(8), 3 << 3, 7])
    assert [number for number, _ in wire_fields(memoryview(data))] == [1, 2, 3]


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|after the message|wire type"):
        list(wire_fields(memoryview(data)))


def test_fractions_are_written_in_32_bits() -> None:
    assert [(number, bytes(value)) for number, value in wire_fields(memoryview(wire_bytes([(2, -1.5), (3, b"x")])))] == [
        (2, b"\0\0\xc0\xbf"),
        (3, b"x"),
    ]
