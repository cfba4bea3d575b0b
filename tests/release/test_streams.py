"""A text is packed in every way that files pack texts, and found again."""

import base64
import bz2
import gzip
import lzma
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.release.needles import Needles
from pellucid.release.streams import contents_of

CANARY = "canary-4711-in-a-coal-mine"
NEEDLES = Needles({"canary": [CANARY.encode()]})


def found_in(path: Path) -> set[str]:
    return {where for where, chunks in contents_of(path) if NEEDLES.find_in(chunks)}


def png(text: bytes) -> bytes:
    body = b"Comment\0\0" + zlib.compress(text)
    return b"\x89PNG\r\n\x1a\n" + len(body).to_bytes(4, "big") + b"zTXt" + body + b"\0\0\0\0"


def packed(kind: str, path: Path) -> None:
    # Its halves come first, so that packers refer back to them.
    halves = f"{CANARY[:14]} apart from {CANARY[14:]}, " * 20
    text = f"{halves}some words before {CANARY} and behind".encode()
    if kind == "plain":
        path.write_bytes(text)
    elif kind == "gzip":
        path.write_bytes(gzip.compress(text))
    elif kind == "bz2":
        path.write_bytes(bz2.compress(text))
    elif kind == "xz":
        path.write_bytes(lzma.compress(text))
    elif kind == "zstd":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(text)
    elif kind in ("zip", "zip in zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("member.txt", text)
        if kind == "zip in zip":
            inner = path.read_bytes()
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inner.zip", inner)
    elif kind == "pdf":
        path.write_bytes(b"%PDF-1.7\n1 0 obj <</Filter /FlateDecode>>\nstream\n" + zlib.compress(text) + b"\nendstream\nendobj\n")
    elif kind == "png":
        path.write_bytes(png(text))
    elif kind == "png in html":
        path.write_bytes(b'<img src="data:image/png;base64,' + base64.b64encode(png(text)) + b'">')
    elif kind == "parquet":
        rows = [text.decode() if n == 77 else "nothing here " * 20 for n in range(200)]
        pq.write_table(
            pa.table({"n": range(200), "text": rows, "more": [[row] for row in rows]}),
            path,
            compression="zstd",
            write_statistics=False,
        )


@pytest.mark.parametrize(
    "kind", ["plain", "gzip", "bz2", "xz", "zstd", "zip", "zip in zip", "pdf", "png", "png in html", "parquet"]
)
def test_what_is_packed_is_seen(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("page.html" if kind == "png in html" else "file")
    packed(kind, path)
    assert found_in(path), kind
    assert (CANARY.encode() in path.read_bytes()) == (kind == "plain"), "else the test shows nothing"


def test_a_text_across_the_border_of_two_chunks_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "big.gz"
    path.write_bytes(gzip.compress(b"x" * ((8 << 20) - 10) + CANARY.encode() + b"x" * 100))
    assert found_in(path) == {"uncompressed"}


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "zstd", "zip", "pdf", "png", "parquet"])
def test_damaged_files_are_read_as_far_as_they_go(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    packed(kind, path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "" in {where for where, chunks in contents_of(path) if list(chunks)}
