"""Parquet files, provenance and licences of the finished corpus; and what differs from those that were there."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.packages import Package
from builder.sources import Source

__all__ = ["COLUMNS", "Row", "differences", "read_rows", "write_licences", "write_parquet", "write_provenance"]

COLUMNS = ("id", "text", "language", "source", "licence", "origin", "digest")
Row = dict[str, str]
OWN_TEXTS = {
    "LicenseRef-public-domain": "The work is in the public domain: its copyright has expired or was given up, as the\n"
    "notice of its source in this folder says.\n",
    "LicenseRef-verbatim-licence": "Texts of licences. Each is the text of the licence that it states; such texts may be\n"
    "copied and distributed verbatim, and are collected by the SPDX licence list, whose own work is under CC0-1.0.\n",
}


def write_parquet(path: Path, rows: list[Row]) -> None:
    """Write documents with exactly the string columns of COLUMNS; equal rows give equal bytes."""
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in COLUMNS])
    table = pa.Table.from_pydict({name: [row[name] for row in rows] for name in COLUMNS}, schema=schema)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=["language", "source", "licence"],
        row_group_size=2_000,
    )


def read_rows(path: Path) -> list[Row]:
    """Return the documents of a parquet file in order."""
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def differences(old: Path, new: dict[str, list[Row]]) -> list[str]:
    """Return a line for each file that is added, missing or changed against `old`, with the ids of what differs."""
    lines = []
    names = sorted({path.name for path in old.glob("*.parquet")} | set(new))
    for name in names:
        before = {row["id"]: row["digest"] for row in read_rows(old / name)} if (old / name).exists() else {}
        after = {row["id"]: row["digest"] for row in new.get(name, [])}
        added, missing = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
        changed = sorted(key for key in before.keys() & after.keys() if before[key] != after[key])
        if added or missing or changed:
            counts = f"{len(added)} added, {len(missing)} missing, {len(changed)} changed"
            lines.append(f"{name}: {counts}, {len(before)} before, {len(after)} now")
            lines += [f"  + {key} {after[key]}" for key in added]
            lines += [f"  - {key} {before[key]}" for key in missing]
            lines += [f"  ~ {key} {before[key]} -> {after[key]}" for key in changed]
    return lines


def write_licences(folder: Path, sources: dict[str, tuple[Source, list[Package]]], spdx: Package) -> None:
    """Write the text of each licence named (ID.txt) and the notices of each source (SOURCE.notice.txt)."""
    folder.mkdir(exist_ok=True)
    named: set[str] = set()
    for source, packages in sources.values():
        for licence in source.packages.values():
            named |= set(re.findall(r"[\w.+-]+", licence)) - {"AND", "OR", "WITH"}
        notices = [source.notice] if source.notice else []
        for package in packages:
            found = package.files(
                f"usr/share/doc/{package.name}/copyright",
                "package/[Ll][Ii][Cc][Ee][Nn][SsCc][Ee]*",
                "package/NOTICE*",
                "*.dist-info/**/LICEN[SC]E*",
            )
            text = "\n\n".join(data.decode("utf-8", "replace").strip() for _, data in found)
            title = f"==== {package.registry} package {package.name} {package.version}"
            same = any(text and text in earlier for earlier in notices)
            notices.append(
                f"{title}\n\n{text}" if text and not same else f"{title}: {'as above' if same else 'no file of its own'}"
            )
        (folder / f"{source.name}.notice.txt").write_text("\n\n".join(notices) + "\n", encoding="utf-8")
    for licence in sorted(named):
        own = OWN_TEXTS.get(licence)
        entries = dict(spdx.files(f"package/licenses/{licence}.json"))
        if own is None and not entries:
            raise RuntimeError(f"no text of the licence {licence}")
        text = own or json.loads(next(iter(entries.values())))["licenseText"]
        (folder / f"{licence}.txt").write_text(text.strip() + "\n", encoding="utf-8")


def write_provenance(out: Path, entries: list[dict[str, Any]], totals: dict[str, Any]) -> None:
    """Write provenance.json and the table PROVENANCE.md made from it."""
    for entry in entries:
        entry["sha256"] = hashlib.sha256((out / entry["file"]).read_bytes()).hexdigest()
        entry["parquet_bytes"] = (out / entry["file"]).stat().st_size
    record = {"schema": 1, "totals": totals, "files": entries}
    (out / "provenance.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [
        "# Where the pocket corpus comes from",
        "",
        f"{totals['documents']:,} documents, {totals['bytes']:,} bytes of text,",
        f"of which {totals['heldout_documents']:,} documents ({totals['heldout_bytes']:,} bytes) are held out.",
        "Made by `build.py` from the packages named here; `provenance.json` names all of them, and the sha256 of each file.",
        "Licence texts and the notices of each source are in `LICENSES/`.",
        "",
        "| file | category | language | documents | bytes | held out | licence | packages |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for entry in entries:
        packages = entry["packages"]
        names = ", ".join(f"{package['registry']} {package['name']} {package['version']}" for package in packages[:2])
        names += f" and {len(packages) - 2} more" if len(packages) > 2 else ""
        counts = f"{entry['documents']:,} | {entry['bytes']:,} | {entry['heldout_documents']:,}"
        licences = "; ".join(entry["licences"])
        lines.append(f"| {entry['file']} | {entry['category']} | {entry['language']} | {counts} | {licences} | {names} |")
    for title, key in (("category", "by_category"), ("language", "by_language")):
        lines += [
            "",
            f"| {title} | documents | bytes | held-out documents | held-out bytes |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for name, row in totals[key].items():
            lines.append(
                f"| {name} | {row['documents']:,} | {row['bytes']:,} | {row['heldout_documents']:,} | {row['heldout_bytes']:,} |"
            )
    (out / "PROVENANCE.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
