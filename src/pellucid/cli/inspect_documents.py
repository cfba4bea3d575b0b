"""The documents of a run, source by source and page by page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from pellucid.cli.colours import MARK
from pellucid.cli.output import open_console, print_beside, print_table
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.excerpt import one_line, visible
from pellucid.core.files import read_json
from pellucid.core.parquet import count_rows, read_rows
from pellucid.core.units import format_bytes, utf8_bytes
from pellucid.documents.store import split_files

__all__ = ["account_of", "documents_of", "print_account", "print_documents"]

_EXCERPT_CHARS = 280
_SPLITS = {"train": "to train on", "heldout": "held out"}


def account_of(run: Path) -> dict[str, Any]:
    """Return `documents/funnel.json` of a run; raise `ArtifactError` when the stage has not finished."""
    documents = run / "documents"
    if not (documents / "manifest.json").is_file():
        raise ArtifactError(f"{documents} is not there or not finished; it is made by: pellucid documents RECIPE")
    account: dict[str, Any] = read_json(documents / "funnel.json")
    return account


def documents_of(run: Path, source: str, split: str, first: int, count: int) -> dict[str, Any]:
    """Return a page of one split's documents from the `first` on, counted from 1: `source`, `split`, `total` and `documents`.

    Each has its `number`, id, language, licence, origin, digest, text and `bytes` of UTF-8. Raises `UsageError` for a source or a
    number that there is not.
    """
    sources = account_of(run)["sources"]
    if source not in sources:
        raise UsageError(f"--documents {source}: the run has no source of this name; it has {', '.join(sources)}")
    files = split_files(run / "documents", source, split)
    total = count_rows(files)
    if first > max(total, 1):
        raise UsageError(f"--first {first}: {source} has {total} documents {_SPLITS[split]}")
    numbers = range(first - 1, min(first - 1 + count, total))
    rows = [
        {"number": number + 1, **row, "bytes": utf8_bytes(row["text"])}
        for number, row in zip(numbers, read_rows(files, numbers), strict=True)
    ]
    return {"source": source, "split": split, "total": total, "documents": rows}


def print_account(account: Mapping[str, Any], run: Path, colours: Mapping[str, str]) -> None:
    """Print a line for each source: documents, text and languages."""
    rows = []
    for name, source in account["sources"].items():
        by_size = sorted(source["languages"].items(), key=lambda item: -item[1]["kept_bytes"] - item[1]["heldout_bytes"])
        size = format_bytes(source["kept_bytes"] + source["heldout_bytes"])
        named = Text().append(MARK, colours.get(name, "")).append(f" {name}")
        rows.append((named, source["kept"], source["heldout"], size, visible(" ".join(language for language, _ in by_size))))
    print_table(("source", "to train on", "held out", "text", "languages"), rows, right=(1, 2, 3))
    open_console().print(Text(f"\none source: pellucid inspect {run} --documents SOURCE", style="dim"))


def print_documents(page: Mapping[str, Any], run: Path, colours: Mapping[str, str], *, whole: bool) -> None:
    """Print the documents of a page with where each comes from and how it begins, and how to see the next ones."""
    console = open_console()
    source, split, documents = page["source"], page["split"], page["documents"]
    colour = colours.get(source, "")
    title = Text().append(MARK, colour).append(f" {source}", f"bold {colour}")
    if not documents:
        console.print(title.append(f": no documents {_SPLITS[split]}"))
        return
    last = documents[-1]["number"]
    console.print(title.append(f": {documents[0]['number']} to {last} of {page['total']} documents {_SPLITS[split]}"))
    for document in documents:
        head = f"{document['language']}  {format_bytes(document['bytes'])}  {document['licence']}"
        console.print()
        console.print(Text().append(f"{document['number']}  ", "bold").append(visible(head)))
        place = document["id"] if document["origin"] in document["id"] else f"{document['id']}  from {document['origin']}"
        print_beside(console, Text("  "), Text(visible(place), style="dim"))
        text = visible(document["text"]) if whole else one_line(document["text"], _EXCERPT_CHARS)
        print_beside(console, Text().append("  │ ", colour), Text(text))
    if last < page["total"]:
        held = " --heldout" if split == "heldout" else ""
        next_page = f"pellucid inspect {run} --documents {source}{held} --first {last + 1}"
        console.print(Text(f"\nnext: {next_page}", style="dim"))
