import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.core.gguf import read_gguf

gguf = pytest.importorskip("gguf")

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "uint8": st.integers(0, 2**8 - 1), "int8": st.integers(-(2**7), 2**7 - 1), "uint16": st.integers(0, 2**16 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1), "uint32": st.integers(0, 2**32 - 1), "int32": st.integers(-(2**31), 2**31 - 1),
    "uint64": st.integers(0, 2**64 - 1), "int64": st.integers(-(2**63), 2**63 - 1), "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False), "bool": st.booleans(), "string": st.text(min_size=1),
}  # fmt: skip
FIELDS = st.dictionaries(
    st.text("abc.", min_size=1, max_size=8).map("x.".__add__),
    st.sampled_from(list(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind])),
)


def written(file: Path, fields: dict[str, tuple[str, Any]], lists: dict[str, list[Any]], tensors: dict[str, Any]) -> Path:
    writer = gguf.GGUFWriter(file, "llama")
    for name, (kind, value) in fields.items():
        getattr(writer, f"add_{kind}")(name, value)
    for name, values in lists.items():
        writer.add_array(name, values)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@given(
    fields=FIELDS, texts=st.lists(st.text(), min_size=1, max_size=9), numbers=st.lists(st.integers(-5, 5), min_size=1, max_size=9)
)
def test_whatever_the_owners_package_writes_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, tuple[str, Any]], texts: list[str], numbers: list[int]
) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.full((3, 1), 0.5, np.float16)}
    file = written(tmp_path_factory.mktemp("head") / "m.gguf", fields, {"texts": texts, "numbers": numbers}, arrays)
    head = read_gguf(file)
    assert head.fields.pop("general.architecture") == "llama"
    assert head.fields.pop("texts") == texts and head.fields.pop("numbers") == numbers
    assert head.fields == {name: value for name, (_, value) in fields.items()}
    for name, array in arrays.items():
        assert head.tensors[name].shape == array.shape
        values = head.tensors[name].values()
        assert values is not None and values.dtype == array.dtype
        np.testing.assert_array_equal(values.reshape(array.shape), array)


def test_tensors_lie_where_the_owners_package_finds_them(tmp_path: Path) -> None:
    blocks = gguf.quants.quantize(np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64), gguf.GGMLQuantizationType.Q8_0)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("plain", np.ones(3, np.float32))
    writer.add_tensor("blocks", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    head = read_gguf(tmp_path / "m.gguf")
    for theirs in gguf.GGUFReader(tmp_path / "m.gguf").tensors:
        ours = head.tensors[theirs.name]
        assert (ours.start, ours.kind, ours.shape) == (theirs.data_offset, theirs.tensor_type, tuple(theirs.shape.tolist()[::-1]))
        assert bytes(ours.raw()[: theirs.n_bytes]) == theirs.data.tobytes()
        assert ours.padded_bytes - theirs.n_bytes < 32
    assert head.tensors["blocks"].values() is None


def test_a_file_cut_short_in_its_head_is_an_error_that_names_it(tmp_path: Path) -> None:
    data = written(tmp_path / "m.gguf", {"x": ("string", "é" * 9)}, {"t": ["a", "bc"]}, {"a": np.ones(8, np.float32)}).read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(len(data) - 32):
        cut.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=r"cut\.gguf cannot be read; it is cut short or no GGUF file"):
            read_gguf(cut)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML" + bytes(20), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1; known are 2 and 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "in little-endian"),
        (b"GGUF" + struct.pack("<IQQQsI", 3, 0, 1, 1, b"k", 99), "a list of 0 values of type 99"),
        (b"GGUF" + struct.pack("<IQQQsIIQ", 3, 0, 1, 1, b"k", 9, 4, 2**60), "a list of 1152921504606846976 values"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62), "a text of 4611686018427387904 bytes"),
    ],
)
def test_what_it_cannot_be_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(ArtifactError, match=message):
        read_gguf(tmp_path / "m.gguf")


@given(st.binary(max_size=200))
def test_any_bytes_after_the_magic_raise_one_kind_of_error_or_none(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    file = tmp_path_factory.mktemp("noise") / "m.gguf"
    file.write_bytes(b"GGUF\3\0\0\0" + rest)
    try:
        read_gguf(file)
    except ArtifactError as error:
        assert str(file) in str(error)
