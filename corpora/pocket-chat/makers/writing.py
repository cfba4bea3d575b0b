"""Parquet files, licences and provenance of the pocket chat data; and what differs from those that were there."""

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from makers.facts import Record

__all__ = ["CONVERSATIONS", "PAIRS", "differences", "write_licences", "write_parquet", "write_provenance"]

TEXT = ("language", "kind", "licence", "origin")
MESSAGE = pa.struct([pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)])
CONVERSATIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("messages", pa.list_(pa.field("element", MESSAGE, nullable=False)), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in TEXT),
    ]
)
PAIRS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "prompt", "chosen", "rejected")),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("score_chosen", "score_rejected")),
        *(pa.field(name, pa.string(), nullable=False) for name in TEXT),
    ]
)


def write_parquet(path: Path, records: list[Record]) -> None:
    """Write conversations or pairs; equal records give equal bytes under one release of pyarrow."""
    schema = PAIRS if "prompt" in records[0] else CONVERSATIONS
    table = pa.Table.from_pylist(records, schema=schema)
    pq.write_table(table, path, compression="zstd", compression_level=19, use_dictionary=list(TEXT), row_group_size=4_000)


def differences(folder: Path, files: dict[str, list[Record]]) -> list[str]:
    """Return a line for each file whose records are not those of the file in `folder`, or that is in one of the two only."""
    lines = []
    for name in sorted({path.name for path in folder.glob("*.parquet")} | set(files)):
        before = pq.read_table(folder / name).to_pylist() if (folder / name).exists() else []
        after = files.get(name, [])
        if before != after:
            old, new = ({str(row["id"]): row for row in rows} for rows in (before, after))
            changed = sum(old[key] != new[key] for key in old.keys() & new.keys())
            lines.append(f"{name}: {len(new.keys() - old.keys())} added, {len(old.keys() - new.keys())} missing, {changed} changed")
    return lines


def write_licences(folder: Path, pocket: Path, licences: set[str], notices: tuple[str, ...]) -> None:
    """Copy the licences' texts and the sources' notices that the pocket corpus has; Apache-2.0 is the repository's own."""
    folder.mkdir(exist_ok=True)
    named = {name for licence in licences for name in re.findall(r"[\w.+-]+", licence)} - {"AND", "OR", "WITH", "Apache-2.0"}
    for name in sorted([f"{one}.txt" for one in named] + [f"{one}.notice.txt" for one in notices]):
        shutil.copyfile(pocket / "LICENSES" / name, folder / name)
    shutil.copyfile(pocket.parents[1] / "LICENSE", folder / "Apache-2.0.txt")


def write_provenance(
    out: Path,
    files: dict[str, list[Record]],
    sources: dict[str, list[str]],
    dropped: dict[str, Counter[str]],
    reasons: dict[str, str],
) -> None:
    """Write provenance.json and the tables of PROVENANCE.md made from it."""
    entries: list[dict[str, Any]] = []
    for name, records in sorted(files.items()):
        data = (out / name).read_bytes()
        entries.append(
            {
                "file": name,
                "records": len(records),
                "by_kind": dict(sorted(Counter(str(row["kind"]) for row in records).items())),
                "by_licence": dict(sorted(Counter(str(row["licence"]) for row in records).items())),
                "sources": sources[name],
                "parquet_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    counted = {language: dict(sorted(counts.items())) for language, counts in dropped.items()}
    record = {"schema": 1, "files": entries, "chatterbot": counted}
    (out / "provenance.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [
        "# Where the pocket chat data come from",
        "",
        f"{sum(entry['records'] for entry in entries):,} records, made by `build.py`; `provenance.json` has the sha256 of each",
        "file. Each record carries its own licence (`licence`, an SPDX expression) and where it was read (`origin`); the licences'",
        "texts and the notices of the sources are in `LICENSES/`. What is restructured from the pocket corpus keeps the licence of",
        "its document; held-out documents are not used.",
        "",
        "| file | records | bytes | kinds | licences | sources |",
        "| --- | ---: | ---: | --- | --- | --- |",
    ]
    for entry in entries:
        few = len(entry["by_kind"]) < 6
        kinds = (
            "; ".join(f"{kind} {count:,}" for kind, count in entry["by_kind"].items()) if few else f"{len(entry['by_kind'])} topics"
        )
        licences = "; ".join(f"{name} {count:,}" for name, count in entry["by_licence"].items())
        row = (entry["file"], f"{entry['records']:,}", f"{entry['parquet_bytes']:,}", kinds, licences, ", ".join(entry["sources"]))
        lines.append("| " + " | ".join(row) + " |")
    names = list(counted)
    lines += [
        "",
        "## What was left out of the chatterbot corpus",
        "",
        "Conversations read, kept, and dropped, each for the first reason that applies. A list of more than two messages is a",
        "dialogue, cut to an even number of messages and to eight; where a topic gives several answers to one message, each is a",
        "conversation.",
        "",
        "| | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
        *(
            f"| {reason} | " + " | ".join(f"{counted[name].get(reason, 0):,}" for name in names) + " |"
            for reason in ("read", "kept", *reasons)
        ),
        "",
        *(f"- *{reason}*: {text}." for reason, text in reasons.items()),
    ]
    (out / "PROVENANCE.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
