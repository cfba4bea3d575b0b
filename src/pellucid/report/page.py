"""One self-contained HTML page from a run's artifacts."""

from html import escape
from importlib.resources import files
from pathlib import Path

from pellucid.core.files import write_bytes
from pellucid.recipe.recipe import Recipe
from pellucid.report import benchmarks, curves, exports, forecast, sections, throughput, tuning
from pellucid.report.card import CARD
from pellucid.report.croissant import CROISSANT
from pellucid.report.facts import Facts
from pellucid.report.markup import cell

__all__ = ["write_page"]

_SECTIONS = (
    ("data", "Data", sections.data),
    ("funnel", "Documents", sections.funnel),
    ("architecture", "Architecture", sections.architecture),
    ("training", "Training", sections.training),
    ("curves", "Capabilities over training", curves.over_training),
    ("heldout", "Held-out scores", sections.heldout),
    ("benchmarks", "Benchmarks", benchmarks.benchmarks),
    ("tuning", "From base model to assistant", tuning.tuning),
    ("samples", "Samples", sections.samples),
    ("exports", "Exports", exports.exports),
    ("throughput", "Throughput", throughput.throughput),
    ("forecast", "Plan against what happened", forecast.forecast),
    ("machine", "Machine and time", sections.machine),
    ("omissions", "Left out", sections.omissions),
)


def write_page(run: Path, recipe: Recipe, out: Path) -> None:
    """Write `out/index.html` about the run; the page links its numbers to `../FILE` of the run.

    Raises `ArtifactError` naming the file when an artifact that the page needs is missing, `MissingExtraError` without matplotlib.
    """
    facts = Facts(run)
    bodies = [(name, title, build(facts, recipe)) for name, title, build in _SECTIONS]
    shown = [(name, title, body) for name, title, body in bodies if body]
    cards = "".join(
        f'<div class="card"><b>{cell(fact)}</b><span>{escape(label)}</span></div>'
        for label, fact in sections.headline(facts, recipe)
    )
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in shown)
    style = files("pellucid.report").joinpath("style.css").read_text()
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(recipe.name)}: report</title><style>{style}</style></head><body><main>"
        f'<h1>{escape(recipe.name)}</h1><p class="lead">{escape(recipe.description)}</p>'
        f'<div class="cards">{cards}</div>'
        '<p class="note">Every underlined number is a link to the artifact that it was read from; hover to see its place '
        'in that file. The resolved recipe is <a href="../recipe.resolved.yaml">recipe.resolved.yaml</a>; '
        "the same command makes it all again: <code>pellucid run</code>. What it was trained on, source by source, is on the "
        f'<a href="{CARD}">data card</a>, and for programs in <a href="{CROISSANT}">{CROISSANT}</a>.</p><nav>{links}</nav>'
        f"{''.join(body for _, _, body in shown)}</main></body></html>\n"
    )
    write_bytes(out / "index.html", page.encode())
