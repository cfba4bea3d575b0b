"""The data card: one self-contained HTML page about the documents, source by source. It reads `documents/` and nothing else."""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from pellucid.core.excerpt import excerpt, visible
from pellucid.core.files import write_bytes
from pellucid.core.parquet import count_rows, count_values, read_rows
from pellucid.core.units import format_bytes, format_count, utf8_bytes
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.recipe import Recipe
from pellucid.report.charts import histogram, share_bar, size_range
from pellucid.report.facts import Fact, Facts
from pellucid.report.html import HOW_TO_ASK, Html, as_html, render
from pellucid.report.markup import table
from pellucid.report.sections import FUNNEL, LANGUAGES, languages_of, percent, whole

__all__ = ["CARD", "write_card"]

CARD = "data.html"
CONTAMINATION = "documents/contamination.json"
SPLITS = ("train", "heldout")

_KEPT, _HELDOUT = "#0072B2", "#56B4E9"
# For reasons, in the order of their names: warm colours and greys, so that what stays is told from what went.
_DROPPED = ("#D55E00", "#E69F00", "#CC79A7", "#8A6D00", "#999999", "#7A3E00", "#F0C987", "#5F3A54", "#C9C9C9", "#444444")
# What the recipe's words for no single language mean, and ISO 639's for none that is known.
_NO_ONE_LANGUAGE = {"": "that of each record", "mul": "several, that of each record", "und": "unknown"}
_SAMPLES, _SAMPLE_CHARS = 5, 600
_MOST_ROWS, _MOST_HITS = 15, 5


class _Card(Facts):
    """The run's artifacts, and the page on which their numbers are counted."""

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self.html = Html()


def write_card(run: Path, recipe: Recipe, out: Path) -> None:
    """Write `out/data.html` about the run's documents; its numbers link to `../FILE` of the run, as those of the report do.

    Raises `ArtifactError` naming the file when one is missing or damaged.
    """
    facts = _Card(run)
    style = "".join(files("pellucid.report").joinpath(name).read_text() for name in ("style.css", "card.css"))
    links = "".join(f'<a href="#source-{escape(source.name)}">{escape(source.name)}</a>' for source in recipe.sources)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{as_html(recipe.name)}: data card</title><style>{style}</style></head><body><main>"
        f'<h1>{as_html(recipe.name)}: data card</h1><p class="lead">{as_html(recipe.description)}</p>'
        f'<div class="cards">{_headline(facts)}</div>'
        f'<p class="note">{HOW_TO_ASK} Shares are of the documents that were read. See also the <a href="index.html">report</a> on '
        'the model; <a href="croissant.json">croissant.json</a> '
        f"describes the same documents for programs.</p><nav>{links}</nav>"
        f"{''.join(_source(facts, recipe, source) for source in recipe.sources)}</main></body></html>\n"
    )
    write_bytes(out / CARD, page.encode())


def _headline(facts: _Card) -> str:
    sources = facts.document(FUNNEL)["sources"].values()
    total = {name: sum(source[name] for source in sources) for name in ("kept", "heldout", "kept_bytes", "heldout_bytes")}
    dropped = sum(reason["documents"] for source in sources for reason in source["dropped"].values())
    languages = len(languages_of(facts.document(FUNNEL)))
    cards = [
        ("documents to train on", format_count(total["kept"])),
        ("held out", format_count(total["heldout"])),
        ("dropped", format_count(dropped)),
        ("of text", format_bytes(total["kept_bytes"] + total["heldout_bytes"])),
        ("sources", str(len(sources))),
        *([("languages", str(languages))] if languages else []),
    ]
    return "".join(f'<div class="card"><b>{as_html(value)}</b><span>{as_html(label)}</span></div>' for label, value in cards)


def _source(facts: _Card, recipe: Recipe, source: SourceConfig) -> str:
    account = facts.document(FUNNEL)["sources"][source.name]
    paths = {split: sorted((facts.run / "documents" / source.name / split).glob("*.parquet")) for split in SPLITS}
    parts = [_what(facts, recipe, source, account), _funnel(facts, source.name, account)]
    if account["kept"] + account["heldout"]:
        licences = count_values([path for split in SPLITS for path in paths[split]], "licence")
        left = f"<div>{_lengths(account)}{_licences(licences)}</div>"
        parts.append(f'<div class="pair">{left}{_languages(facts, source.name, account)}</div>')
    else:
        parts.append("<p>No document of this source is left.</p>")
    parts += [_edits(facts, source.name, account), _hits(facts, source.name), _samples(paths["train"], source.category == "Code")]
    name = escape(source.name)
    title = f'<h2>{name}<span class="from">{as_html(source.category)}</span></h2>'
    return f'<section id="source-{name}">{title}{"".join(parts)}</section>'


def _what(facts: _Card, recipe: Recipe, source: SourceConfig, account: dict[str, Any]) -> str:
    """What the recipe says of the source, and the duplicates and benchmark hits that were found in it."""
    steps = recipe.documents.clean if source.clean is None else source.clean
    at = ("sources", source.name, "dropped")
    duplicates = [
        f"{facts.html.cell(facts.get(FUNNEL, *at, reason, 'documents', show=whole))} × {as_html(reason)}"
        for reason in account["dropped"]
        if "duplicate" in reason
    ]
    looked_for = [
        name
        for name, wanted in (("exact", recipe.documents.exact_dedup), ("near", recipe.documents.near_dedup is not None))
        if wanted
    ]
    none_found = f"none ({' and '.join(looked_for)} ones were looked for)" if looked_for else "not looked for"
    entries = [
        ("Licence", as_html(source.licence or "that of each record")),
        ("Language", escape(_language(source.language or ""))),
        ("Read from", as_html(source.path or source.hub or "nowhere")),
        ("Cleaning", as_html(", ".join(step.step for step in steps) or "none")),
        ("Duplicates", ", ".join(duplicates) or none_found),
        ("Benchmark hits", _hits_told(facts, source.name)),
    ]
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in entries)}</dl>"


def _funnel(facts: _Card, name: str, account: dict[str, Any]) -> str:
    """Read → dropped by reason, held out, to train on: a bar and the table of its parts."""
    at = ("sources", name)
    outcomes: list[tuple[str, tuple[str, ...], tuple[str, ...], str]] = [
        ("to train on", ("kept",), ("kept_bytes",), _KEPT),
        ("held out", ("heldout",), ("heldout_bytes",), _HELDOUT),
    ]
    for number, reason in enumerate(account["dropped"]):
        where = ("dropped", reason)
        outcomes.append((f"dropped: {reason}", (*where, "documents"), (*where, "bytes"), _DROPPED[number % len(_DROPPED)]))
    rows: list[list[Fact | str | None]] = []
    parts = []
    for title, documents, size, colour in outcomes:
        amount = facts.get(FUNNEL, *at, *documents, show=whole)
        share = percent(amount.value / account["read"]) if account["read"] else None
        rows.append([title, amount, share, facts.get(FUNNEL, *at, *size, show=format_bytes)])
        parts.append((title, amount.value, colour))
    rows.append(["read", facts.get(FUNNEL, *at, "read", show=whole), None, facts.get(FUNNEL, *at, "read_bytes", show=format_bytes)])
    caption = "What became of every record. A dropped document counts with the text that it had then."
    marks = [colour for *_, colour in outcomes]
    told = table(("Outcome", "Documents", "Share", "Text"), rows, caption=caption, total=True, marks=marks)
    return share_bar(parts, f"{name}: what became of every record") + facts.html.block(told)


def _lengths(account: dict[str, Any]) -> str:
    lengths = {int(bits): count for bits, count in account["lengths"].items()}
    half, seen = sum(lengths.values()) / 2, 0
    middle = 0
    for bits in sorted(lengths):
        seen += lengths[bits]
        if seen >= half:
            middle = bits
            break
    caption = f"Documents by size in UTF-8 bytes; the median lies within {size_range(middle)}."
    return (
        f'<div class="lengths"><h3>Lengths</h3>{histogram(account["lengths"], caption)}<p class="note">{as_html(caption)}</p></div>'
    )


def _languages(facts: _Card, name: str, account: dict[str, Any]) -> str:
    ordered = sorted(account["languages"], key=lambda code: -account["languages"][code]["kept_bytes"])
    rows: list[list[Fact | str | None]] = []
    for code in ordered[:_MOST_ROWS]:
        at = ("sources", name, "languages", code)
        shown = [
            facts.get(FUNNEL, *at, key, show=show)
            for key, show in (("kept", whole), ("heldout", whole), ("kept_bytes", format_bytes))
        ]
        rows.append([_language(code), *shown])
    caption = _rest(len(ordered), "languages")
    told = table(("Language", "To train on", "Held out", "Text"), rows, caption=caption)
    return f"<div><h3>Languages</h3>{facts.html.block(told)}</div>"


def _language(code: str) -> str:
    return _NO_ONE_LANGUAGE.get(code) or LANGUAGES.get(code) or visible(code)


def _licences(licences: dict[str, int]) -> str:
    ordered = sorted(licences.items(), key=lambda item: (-item[1], item[0]))
    rows = [[visible(licence) or None, whole(count)] for licence, count in ordered[:_MOST_ROWS]]
    caption = _rest(len(ordered), "licences")
    return f"<div><h3>Licences of the documents</h3>{render(table(('Licence', 'Documents'), rows, caption=caption))}</div>"


def _rest(number: int, what: str) -> str:
    return f"And {number - _MOST_ROWS} more {what}." if number > _MOST_ROWS else ""


def _edits(facts: _Card, name: str, account: dict[str, Any]) -> str:
    """What cleaning changed in documents without dropping them."""
    if not account["edits"]:
        return ""
    rows: list[list[Fact | str | None]] = [
        [kind, facts.get(FUNNEL, "sources", name, "edits", kind, show=whole)] for kind in account["edits"]
    ]
    rows.append(
        ["bytes of text taken away, added ones subtracted", facts.get(FUNNEL, "sources", name, "cleaned_bytes", show=whole)]
    )
    shown = table(("Kind", "Number"), rows, caption="Changes that cleaning made, by kind.", total=True)
    return f"<h3>Edits</h3>{facts.html.block(shown)}"


def _of_source(facts: _Card, name: str) -> list[dict[str, Any]]:
    return [hit for hit in facts.document(CONTAMINATION)["hits"] if hit["source"] == name]


def _hits_told(facts: _Card, name: str) -> str:
    if not facts.has(CONTAMINATION):
        return "not looked for"
    return f'{whole(len(_of_source(facts, name)))} (<a href="../{CONTAMINATION}">listed</a>)'


def _hits(facts: _Card, name: str) -> str:
    hits = _of_source(facts, name)[:_MOST_HITS] if facts.has(CONTAMINATION) else []
    if not hits:
        return ""
    shown = [[excerpt("; ".join(f"{key}: {value}" for key, value in hit.items() if key != "source"), 300)] for hit in hits]
    told = table(("The first of them",), shown, caption="All are listed in contamination.json.")
    return f"<h3>Benchmark hits</h3>{render(told)}"


def _samples(paths: list[Path], is_code: bool) -> str:
    """Some documents, evenly spread over the source: no one chose them."""
    total = count_rows(paths)
    if not total:
        return ""
    numbers = sorted({(2 * n + 1) * total // (2 * _SAMPLES) for n in range(_SAMPLES)})
    kind = ' class="code"' if is_code else ""
    shown = []
    for row in read_rows(paths, numbers):
        size = utf8_bytes(row["text"])
        told = f"{row['id']} · {row['language']} · {row['licence']} · {format_bytes(size)} · {row['origin']}"
        shown.append(
            f'<article><p>{escape(visible(told))}</p><pre{kind} lang="{escape(row["language"])}" dir="auto">'
            f"{escape(excerpt(row['text'], _SAMPLE_CHARS))}</pre></article>"
        )
    return f"<h3>Samples</h3><p>Documents at even distances through the source, shown by how they begin.</p>{''.join(shown)}"
