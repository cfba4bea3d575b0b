"""The report: what it says (`compose`), and its page: one HTML file that needs nothing from outside and runs no scripts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from pellucid.core.files import write_bytes, write_json
from pellucid.recipe.recipe import Recipe
from pellucid.report import benchmarks, curves, exports, forecast, sections, spending, throughput, training, tuning, verified
from pellucid.report.blocks import Cards, Figure, Note, Paragraph, Section
from pellucid.report.card import CARD
from pellucid.report.croissant import CROISSANT
from pellucid.report.drawings import FOLDER, as_csv, name_figures, standalone
from pellucid.report.facts import Fact, Facts
from pellucid.report.html import HOW_TO_ASK, Html, as_html
from pellucid.report.summary import first_screen, lead

__all__ = ["NUMBERS", "Report", "compose", "write_figures", "write_page"]

NUMBERS = "numbers.json"

Build = Callable[[Facts, Recipe], Section | None]

_SECTIONS: tuple[tuple[str, str, Build, str], ...] = (
    ("data", "Data", sections.data, "This run read no text."),
    ("funnel", "Documents", sections.funnel, "This run read no documents."),
    ("architecture", "Architecture", training.architecture, ""),
    ("training", "Training", training.training, ""),
    (
        "curves",
        "Capabilities over training",
        curves.over_training,
        "Nothing was scored while it trained; curves: in a stage of the recipe asks for it.",
    ),
    ("heldout", "Held-out scores", sections.heldout, "This run has no stage that learns from text, so nothing was held out."),
    (
        "benchmarks",
        "Benchmarks",
        benchmarks.benchmarks,
        "No suite was run on this model; pellucid evaluate RUN --suite choices --data-dir DIR runs one.",
    ),
    (
        "tuning",
        "From base model to assistant",
        tuning.tuning,
        "This is a base model: the recipe has no stage that learns from conversations or pairs.",
    ),
    ("samples", "Samples", sections.samples, "No samples were drawn; samples: in a stage of the recipe asks for them."),
    ("exports", "Exports", exports.exports, ""),
    (
        "throughput",
        "Throughput",
        throughput.throughput,
        "How fast the exports run was not measured; pellucid throughput RUN measures it.",
    ),
    (
        "verification",
        "Verification",
        verified.verified,
        "Nothing was checked when this report was made; pellucid verify RUN checks.",
    ),
    (
        "forecast",
        "Plan against what happened",
        forecast.forecast,
        "The plan of this run has no bounds to hold against what happened; it was made by an earlier version.",
    ),
    ("cost", "What it cost", spending.spending, spending.NO_ACCOUNT),
    ("ledger", "Ledger", spending.ledger, spending.NO_ACCOUNT),
    ("machine", "Machine and time", sections.machine, ""),
    ("omissions", "Left out", sections.omissions, ""),
)
"""Anchor, title in the contents, what makes the section, and what is said where the run has no data for it."""


@dataclass(frozen=True)
class Report:
    """What the report says, before it is a page or a PDF. `date` is that of the newest artifact (YYYY-MM-DD)."""

    name: str
    description: str
    date: str
    lead: Paragraph
    cards: Cards
    sections: tuple[Section, ...]
    titles: tuple[str, ...]
    has_documents: bool


def compose(facts: Facts, recipe: Recipe) -> Report:
    """Return the report on a run; a section for which it has no data says so, and how to get it.

    Raises `ArtifactError` naming the file when an artifact that it needs is missing, `MissingExtraError` without matplotlib.
    """
    made = [
        build(facts, recipe) or Section(name, title, (Note((how or "This run has no data for it.",), "empty"),))
        for name, title, build, how in _SECTIONS
    ]
    newest = max(facts.document(f"{stage}/manifest.json")["started_at"] for stage in facts.stages)
    return Report(
        recipe.name,
        recipe.description,
        newest[:10],
        lead(facts, recipe),
        first_screen(facts, recipe),
        tuple(made),
        tuple(title for _, title, _, _ in _SECTIONS),
        bool(recipe.sources),
    )


def write_page(report: Report, out: Path) -> None:
    """Write `out/index.html`, whose numbers link to `../FILE` of the run, `out/numbers.json` and the files of its figures."""
    names = name_figures(report.sections)
    html = Html(names)
    write_bytes(out / "index.html", _page(report, html).encode())
    listed = [_listed(number, fact) for number, fact in enumerate(html.numbers, start=1)]
    write_json(out / NUMBERS, {"schema_version": 1, "numbers": listed})
    write_figures(names, out)


def write_figures(names: Mapping[Figure, str], out: Path) -> None:
    """Write each figure as `figures/NAME.svg` and the numbers behind it as `figures/NAME.csv`."""
    for figure, name in names.items():
        write_bytes(out / FOLDER / f"{name}.svg", standalone(figure).encode())
        write_bytes(out / FOLDER / f"{name}.csv", as_csv(figure.drawing).encode())


def _listed(number: int, fact: Fact) -> dict[str, object]:
    told = {"file": fact.file, "pointer": fact.pointer, "value": fact.value, "text": fact.text, "command": fact.command}
    return {"id": f"n{number}", **told}


def _page(report: Report, html: Html) -> str:
    style = "".join(files("pellucid.report").joinpath(name).read_text() for name in ("style.css", "report.css"))
    head = html.block(report.lead)
    cards = html.block(report.cards)
    body = html.blocks(report.sections)
    links = "".join(
        f'<li><a href="#{escape(section.name)}">{escape(title)}</a></li>'
        for section, title in zip(report.sections, report.titles, strict=True)
    )
    card = (
        f'; the data, source by source, on the <a href="{CARD}">data card</a> (<a href="{CROISSANT}">Croissant</a>)'
        if report.has_documents
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{as_html(report.name)}: report</title><style>{style}</style></head><body>"
        '<a class="skip" href="#data">To the data</a>'
        f'<header><p class="kind">Technical report · {escape(report.date)}</p><h1>{as_html(report.name)}</h1>'
        f'<p class="lead">{as_html(report.description)}</p>{head}{cards}'
        f'<p class="note">{HOW_TO_ASK} '
        "<code>RUN</code> is the folder that this report lies in, <code>RECIPE</code> its recipe, resolved in "
        '<a href="../recipe.resolved.yaml">recipe.resolved.yaml</a>. The same as <a href="report.pdf">PDF</a>; every underlined '
        f'number with its pointer in <a href="{NUMBERS}">{NUMBERS}</a>{card}.</p>'
        "</header>"
        f'<nav aria-label="Contents"><ol>{links}</ol></nav><main>{body}</main></body></html>\n'
    )
