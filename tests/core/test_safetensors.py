import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pellucid.core.errors import ArtifactError
from pellucid.core.safetensors import read_safetensors_header


def write(file: Path, header: object, data: bytes = bytes(64)) -> None:
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(**changed: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]} | changed}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.float64, torch.float8_e4m3fn])
def test_what_the_package_writes_is_read_as_the_package_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"one": torch.zeros(3, 5).to(dtype), "none": torch.zeros(0, 7).to(dtype), "number": torch.tensor(1).to(dtype)}, file)
    found = read_safetensors_header(file)
    with safe_open(file, framework="pt") as theirs:
        assert set(found) == set(theirs.keys())
        for name, about in found.items():
            assert (about["dtype"], about["shape"]) == (theirs.get_slice(name).get_dtype(), theirs.get_slice(name).get_shape())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ([1], "no mapping"),
        ({"a": 7}, "no mapping of dtype"),
        (entry(dtype="PICKLE"), "dtype: got 'PICKLE'; known are"),
        (entry(dtype=None), "dtype"),
        (entry(shape=[-4, 4]), "shape: got"),
        (entry(shape=[2**33, 2**33, 2**33]), "does not fill 64 bytes"),
        (entry(shape="44"), "shape"),
        (entry(data_offsets=[0, 65]), "64 bytes after the header"),
        (entry(data_offsets=[64, 0]), "data_offsets"),
        (entry(data_offsets=[0]), "data_offsets"),
        (entry(data_offsets=[-64, 0]), "data_offsets"),
        (entry() | {"b": {"dtype": "F32", "shape": [8], "data_offsets": [32, 64]}}, "'b' lies over 'a'"),
    ],
    ids=str,
)
def test_a_header_that_does_not_hold_together_is_refused_by_file_and_reason(tmp_path: Path, header: object, said: str) -> None:
    file = tmp_path / "a.safetensors"
    write(file, header)
    with pytest.raises(ArtifactError, match=f"a.safetensors .*{said}"):
        read_safetensors_header(file)
    with pytest.raises(SafetensorError):
        safe_open(file, framework="pt")


def test_lengths_and_places_that_are_none_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    for data in (b"", b"\0" * 4, struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}", struct.pack("<Q", 2) + b"{:"):
        file.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be read"):
            read_safetensors_header(file)
    with pytest.raises(ArtifactError, match="is missing"):
        read_safetensors_header(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ArtifactError, match="no regular file"):
            read_safetensors_header(place)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "a.safetensors"
    file.write_bytes(struct.pack("<Q", max(0, len(data) - 8)) + data)
    try:
        found = read_safetensors_header(file)
    except ArtifactError as error:
        assert "a.safetensors" in str(error)
    else:
        assert isinstance(found, dict)
