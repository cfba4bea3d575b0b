"""Proof: private values that are planted in a release are found, however they are written, and nothing else is.

Each trial takes a file of a release, or makes one of a kind that packs its contents, and plants a random secret at a random place
in it: in UTF-8, UTF-16, base64 (alone, or in the middle of something longer), hexadecimal, escaped for URLs, JSON or HTML. It is
found when `scan` names the variable and that file and no other. Before, the whole release is scanned for as many secrets that are
not in it: false alarms are counted, and the time is that of the scan that `pellucid release` makes. Exit status 1 when any of it
does not hold.

    python benchmarks/secret_scan.py RELEASE --trials 500
"""

import argparse
import base64
import bz2
import gzip
import io
import json
import lzma
import random
import string
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.release.secrets import Private, scan

LETTERS = string.ascii_letters + string.digits + '/+-_=&<>" .ä'
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16": lambda text: text.encode("utf-16-le"),
    "utf-16 big endian": lambda text: text.encode("utf-16-be"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 of something longer": lambda text: base64.b64encode(b"user:" + text.encode() + b"@host"),
    "base64 of utf-16": lambda text: base64.b64encode(text.encode("utf-16-le")),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal, capitals": lambda text: text.encode().hex().upper().encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "HTML": lambda text: escape(text).encode(),
}


def zipped(data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/member", data)
    return held.getvalue()


def in_parquet(data: bytes) -> bytes:
    held = io.BytesIO()
    rows = [b"nothing"] * 500 + [data] + [b"nothing"] * 500
    pq.write_table(pa.table({"column": rows}), held, compression="zstd", write_statistics=False)
    return held.getvalue()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "zip": zipped,
    "zip in zip": lambda data: zipped(zipped(data)),
    "pdf": lambda data: b"%PDF-1.7\nstream\n" + zlib.compress(data) + b"\nendstream\n",
    "parquet": in_parquet,
}


def planted(rng: random.Random, files: list[Path]) -> tuple[str, str, Callable[[bytes], bytes]]:
    """Return kind of file, how the secret is written, and what makes the file's bytes of the written secret."""
    written = rng.choice(list(WRITTEN))
    if rng.random() < 0.5:
        kind = rng.choice(list(PACKED))
        before, behind = rng.randbytes(rng.randrange(5000)), rng.randbytes(rng.randrange(5000))
        return kind, written, lambda secret: PACKED[kind](before + secret + behind)
    source = rng.choice(files)
    data = source.read_bytes()
    place = rng.randrange(len(data) + 1)
    return f"a file *{source.suffix}", written, lambda secret: data[:place] + secret + data[place:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    secrets = ["".join(rng.choices(LETTERS, k=rng.randrange(12, 40))) for _ in range(arguments.trials)]
    every = [Private(f"SECRET_{number}", secret) for number, secret in enumerate(secrets)]

    names = [file.relative_to(arguments.release).as_posix() for file in sorted(arguments.release.rglob("*")) if file.is_file()]
    size = sum((arguments.release / name).stat().st_size for name in names)
    began = time.perf_counter()
    alarms = [str(found) for found in scan(arguments.release, names, every[:20], lambda _: None)]
    seconds = time.perf_counter() - began
    alarms += [str(found) for found in scan(arguments.release, names, every, lambda _: None)]

    files = [arguments.release / name for name in names if (arguments.release / name).stat().st_size < 4 << 20]
    missed, counts = [], Counter[str]()
    for one, secret in zip(every, secrets, strict=True):
        kind, written, make = planted(rng, files)
        counts[kind] += 1
        counts[written] += 1
        with tempfile.TemporaryDirectory() as folder:
            # A name that tells the kind of text, as those files have that are looked into for data URIs.
            (Path(folder) / "planted.json").write_bytes(make(WRITTEN[written](secret)))
            (Path(folder) / "clean.json").write_text("{}")
            found = {(each.name, each.file) for each in scan(Path(folder), ["clean.json", "planted.json"], every, lambda _: None)}
        if found != {(one.name, "planted.json")}:
            missed.append({"kind": kind, "written": written, "found": sorted(map(str, found))})
    result = {
        "trials": arguments.trials,
        "found": arguments.trials - len(missed),
        "missed": missed,
        "false_alarms": alarms,
        "release_bytes": size,
        "release_files": len(names),
        "scan_s_for_20_values": round(seconds, 2),
        "kinds": dict(sorted(counts.items())),
        "code_version": code_version(),
        "environment": environment(),
    }
    write_json(Path(__file__).with_suffix(".json"), result)
    print(
        json.dumps({name: result[name] for name in ("trials", "found", "missed", "false_alarms", "scan_s_for_20_values")}, indent=2)
    )
    return 1 if missed or alarms else 0


if __name__ == "__main__":
    sys.exit(main())
