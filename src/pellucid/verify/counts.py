"""Check: what was read was kept, held out or dropped; what was kept is in the documents and in the shards, to the last one."""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from pellucid.core.progress import track
from pellucid.documents.store import split_files
from pellucid.shards.index import ShardIndex
from pellucid.shards.stream import TokenStream
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded
from pellucid.verify.places import shard_files

__all__ = ["check_counts"]

_AGAIN = "restore the folder from a copy, or make it again"
_SPLITS = {"train": "kept", "heldout": "heldout"}


def check_counts(evidence: Evidence) -> Findings:
    """Add up the funnels, and follow documents into shards; `--deep` opens every file of documents and every index."""
    findings = Findings(
        "counts", "every record that was read is kept, held out or dropped, and what is kept is in the shards", "records"
    )
    for name, check in (("documents", _check_documents), ("conversations", _check_conversations), ("shards", _check_shards)):
        if name in evidence.artifacts:
            where = evidence.run / name / ("funnel.json" if name != "shards" else "")
            guarded(findings, where, lambda c=check: c(evidence, findings))  # type: ignore[misc]
    return findings


def _check_documents(evidence: Evidence, findings: Findings) -> None:
    file, total = evidence.run / "documents" / "funnel.json", 0
    summary = evidence.artifacts["documents"].summary
    sources = evidence.tree.json("documents/funnel.json")["sources"]
    findings.checked.append("documents/funnel.json")
    for name, source in sources.items():
        dropped = sum(reason["documents"] for reason in source["dropped"].values())
        findings.looked += source["read"]
        total += source["kept"]
        _equal(findings, file, f"{name}: read", source["read"], source["kept"] + source["heldout"] + dropped)
        for kind in ("kept", "heldout"):
            by_language = sum(one[kind] for one in source["languages"].values())
            _equal(findings, file, f"{name}: {kind} of all languages", by_language, source[kind])
    _equal(findings, file, "kept", summary.get("kept"), total)
    if evidence.deep:
        for name, source in track(list(sources.items()), "documents", unit="sources"):
            guarded(findings, file.parent / name, lambda n=name, s=source: _check_files(evidence, n, s, findings))  # type: ignore[misc]


def _check_files(evidence: Evidence, name: str, source: Mapping[str, Any], findings: Findings) -> None:
    """The files of documents have as many rows as the funnel counts."""
    for split, kind in _SPLITS.items():
        files = split_files(evidence.run / "documents", name, split)
        known = [file for file in files if evidence.has(file.relative_to(evidence.run).as_posix())]
        rows = sum(pq.ParquetFile(file).metadata.num_rows for file in known)
        if len(known) == len(files) and (files or source[kind]):
            _equal(findings, evidence.run / "documents" / name / split, "documents", rows, source[kind])


def _check_conversations(evidence: Evidence, findings: Findings) -> None:
    file = evidence.run / "conversations" / "funnel.json"
    findings.checked.append("conversations/funnel.json")
    for name, source in evidence.tree.json("conversations/funnel.json")["sources"].items():
        findings.looked += source["read"]
        written = sum(split["examples"] for split in source["splits"].values())
        _equal(findings, file, f"{name}: read", source["read"], written + sum(source["dropped"].values()))
        for split, account in source["splits"].items():
            facts = f"conversations/{name}/{split}/examples.json"
            if evidence.has(facts):
                told = evidence.tree.json(facts)
                for field in ("examples", "tokens", "target_tokens"):
                    _equal(findings, evidence.run / facts, field, told[field], account[field])


def _check_shards(evidence: Evidence, findings: Findings) -> None:
    """Sizes of files, indexes and the manifest's sums agree, and a split has as many documents as were kept."""
    recipe, sums = evidence.recipe, dict.fromkeys(_SPLITS, 0)
    if recipe is None:
        return
    funnel = evidence.tree.json("documents/funnel.json")["sources"] if evidence.has("documents/funnel.json") else {}
    for source in recipe.sources:
        for split, kind in _SPLITS.items():
            folder = evidence.run / "shards" / source.name / split
            missing = [file for file in shard_files(evidence, f"shards/{source.name}/{split}") if not evidence.has(file)]
            if f"shards/{source.name}/{split}/index.json" in missing:
                findings.note(f"shards/{source.name}/{split} is not there, so its tokens cannot be counted")
                return
            index = ShardIndex.read(folder)
            sums[split] += index.tokens
            findings.looked += index.documents
            findings.checked.append(f"shards/{source.name}/{split}")
            if source.name in funnel:
                _equal(findings, folder / "index.json", "documents", index.documents, funnel[source.name][kind])
            if evidence.deep and not missing:
                # Opening compares the sizes of all files; the index of documents ends where the tokens do.
                TokenStream(folder).document_starts  # noqa: B018 (read for what it raises)
                rows = pq.ParquetFile(folder / "documents.parquet").metadata.num_rows
                _equal(findings, folder / "documents.parquet", "documents", rows, index.documents)
    summary = evidence.artifacts["shards"].summary
    for split, tokens in sums.items():
        _equal(findings, evidence.run / "shards" / "manifest.json", f"{split}_tokens", summary.get(f"{split}_tokens"), tokens)


def _equal(findings: Findings, file: Any, what: str, found: object, expected: object) -> None:
    if found != expected:
        findings.fault(file, f"{what}: expected {expected}; got {found}", _AGAIN)
