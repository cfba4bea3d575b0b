"""`pellucid documents RECIPE --show-dropped [REASON]`: what the stage dropped, by source and reason, and some of it to read."""

from collections.abc import Iterable, Mapping
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any
from zlib import crc32

from rich.text import Text

from pellucid.cli.colours import MARK, colours_of
from pellucid.cli.output import open_console, print_beside, print_json, print_table
from pellucid.core.errors import UsageError
from pellucid.core.excerpt import one_line, visible
from pellucid.core.files import read_json
from pellucid.core.parquet import iter_columns, read_rows
from pellucid.core.units import format_bytes

__all__ = ["dropped_of", "show_dropped"]

_EXCERPT_CHARS = 280
# Samples of one source and reason: in the overview, and when one reason is asked for.
_FEW, _MORE = 1, 5


def show_dropped(run: Path, recipe_path: str, reason: str | None, *, as_json: bool) -> None:
    """Print the table of what the run's documents stage dropped, and samples where their texts were kept.

    `reason` narrows both to reasons that hold it, whatever the case. Raises `UsageError` when none does.
    """
    found = dropped_of(run, reason or "")
    if as_json:
        print_json(found)
        return
    colours = colours_of(found["sources"])
    _print_table(found["dropped"], colours)
    if found["dropped"] and not found["texts_kept"]:
        command = f"pellucid documents {recipe_path} --set documents.keep_dropped=true --show-dropped"
        _print_dim(f"\nThe texts were not kept. To read them, keep them (the stage runs again): {command}")
    _print_samples(found["samples"], colours)
    if found["samples"] and not reason:
        _print_dim(f"\nmore of one reason: pellucid documents {recipe_path} --show-dropped REASON")


def dropped_of(run: Path, reason: str) -> dict[str, Any]:
    """Return `sources`, `dropped` (documents and bytes by source and reason), `texts_kept`, and `samples` of each pair.

    Which are the samples depends on their names alone, so they are the same each time, and spread over the source. Raises
    `UsageError` when something was dropped but nothing for a reason that holds this text.
    """
    sources: Mapping[str, Any] = read_json(run / "documents" / "funnel.json")["sources"]
    rows = [
        {"source": source, "reason": why, **amount, "read": account["read"]}
        for source, account in sources.items()
        for why, amount in account["dropped"].items()
    ]
    chosen = [row for row in rows if reason.casefold() in row["reason"].casefold()]
    if rows and not chosen:
        reasons = sorted({row["reason"] for row in rows})
        raise UsageError(f"--show-dropped {reason}: nothing was dropped for this; the reasons are {', '.join(reasons)}")
    wanted = {source: {row["reason"] for row in chosen if row["source"] == source} for source in sources}
    files = {source: sorted((run / "documents" / source / "dropped").glob("*.parquet")) for source in sources}
    samples = [
        sample
        for source in sources
        if wanted[source]
        for sample in _samples(files[source], wanted[source], _MORE if reason else _FEW)
    ]
    return {"sources": list(sources), "dropped": chosen, "texts_kept": any(files.values()), "samples": samples}


def _samples(files: list[Path], reasons: Iterable[str], count: int) -> list[dict[str, Any]]:
    """Return `count` rows for each reason: those with the lowest hash of their name. Only small columns are read for all rows."""
    best: dict[str, list[tuple[int, int]]] = {reason: [] for reason in reasons}
    for number, (reason, where, id_) in enumerate(iter_columns(files, ("reason", "where", "id"))):
        heap = best.get(reason)
        if heap is not None:
            # Negative, for a heap gives up its smallest.
            entry = (-crc32(f"{where}\0{id_}".encode()), -number)
            if len(heap) < count:
                heappush(heap, entry)
            else:
                heappushpop(heap, entry)
    numbers = [-number for reason in sorted(best) for _, number in sorted(best[reason], key=lambda entry: -entry[1])]
    return read_rows(files, numbers)


def _print_table(dropped: list[dict[str, Any]], colours: Mapping[str, str]) -> None:
    if not dropped:
        open_console().print("nothing was dropped")
        return
    rows = []
    before = None
    for row in dropped:
        name = Text().append(MARK, colours[row["source"]]).append(f" {row['source']}") if row["source"] != before else Text()
        share = f"{100 * row['documents'] / row['read']:.2f} %" if row["read"] else ""
        rows.append((name, visible(row["reason"]), row["documents"], share, format_bytes(row["bytes"])))
        before = row["source"]
    total = sum(row["documents"] for row in dropped)
    rows.append((Text(), "all", total, "", format_bytes(sum(row["bytes"] for row in dropped))))
    print_table(("source", "reason", "documents", "of read", "text"), rows, right=(2, 3, 4))


def _print_samples(samples: list[dict[str, Any]], colours: Mapping[str, str]) -> None:
    console = open_console()
    before = None
    for sample in samples:
        title = (sample["source"], sample["reason"])
        colour = colours[sample["source"]]
        if title != before:
            console.print(
                Text("\n").append(MARK, colour).append(f" {sample['source']}", f"bold {colour}").append(f"  {visible(title[1])}")
            )
        before = title
        place = "  ".join(part for part in dict.fromkeys((sample["id"], sample["where"])) if part)
        print_beside(console, Text("  "), Text(visible(f"{place}  {format_bytes(sample['bytes'])}"), style="dim"))
        if sample["detail"]:
            print_beside(console, Text("  "), Text(visible(sample["detail"])))
        print_beside(console, Text().append("  │ ", colour), Text(one_line(sample["text"], _EXCERPT_CHARS)))


def _print_dim(text: str) -> None:
    open_console().print(Text(text, style="dim"))
