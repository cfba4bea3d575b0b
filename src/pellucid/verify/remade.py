"""Check, with `--deep`: the report is what its artifacts give when it is made again, so that what it shows is what they hold.

The artifacts are read as the report's own stage reads them, the ledger up to where the report was begun. What `pellucid verify`
said then (`report/verification.json`) is taken as it lies there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pellucid.core.artifacts import Manifest
from pellucid.core.attempts import attempts_of
from pellucid.core.environment import code_version, environment, source_of
from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.ledger import LEDGER
from pellucid.recipe.recipe import Recipe
from pellucid.report.benchmarks import find_benchmarks
from pellucid.report.card import CARD, write_card
from pellucid.report.croissant import CROISSANT, write_croissant
from pellucid.report.facts import Facts, before_report
from pellucid.report.page import NUMBERS, compose, write_page
from pellucid.report.throughput import THROUGHPUT
from pellucid.report.typst import write_pdf
from pellucid.report.verified import VERIFICATION
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.texts import is_text_of

__all__ = ["check_remade"]

_REPORT = "report"
_AGAIN = "give `pellucid report RECIPE` again"
_MANY_FAULTS, _MOST_NAMED = 20, 3
_DRAWING = re.compile(rb"<svg\b.*?</svg>", re.DOTALL)


def check_remade(evidence: Evidence, findings: Findings) -> None:
    """Make the report again in a temporary folder and compare every file of it.

    Of the same version of Pellucid all must be equal, and drawings and PDF where they are made by the same packages; else what
    differs is a note. Where it cannot be made again, or another version made it, texts are compared with their values.
    """
    why = _why_not(evidence)
    if why is None:
        with TemporaryDirectory() as folder:
            why = _compared(evidence, Path(folder), findings)
    if why is not None:
        findings.note(f"the report was not compared with one that is made again: {why}")
        _check_texts(evidence, findings)


def _why_not(evidence: Evidence) -> str | None:
    """Return why the report cannot be made again from what lies there; None when it can."""
    tree, manifest = evidence.tree, evidence.artifacts[_REPORT]
    if evidence.recipe is None or evidence.ledger_fault is not None:
        return "recipe or ledger do not hold"
    if tree.links or tree.others or tree.unreadable or evidence.damaged:
        return "the folder has links, files that cannot be read, or damaged manifests"  # which nothing here follows or opens
    lacking = next((name for name in manifest.inputs if name in evidence.artifacts and _gone(evidence, name)), None)
    if lacking is not None:
        return f"{lacking} is not whole here"
    known = {name.partition("/")[0] for name in manifest.inputs}
    found = [*Facts(evidence.run).stages, *(["throughput"] if evidence.has(THROUGHPUT) else ())]
    newer = [name for name in found if name not in known]
    newer += [name for name in find_benchmarks(evidence.run) if name not in manifest.inputs]
    return f"{newer[0]} came after it, or is no part of it" if newer else None


def _gone(evidence: Evidence, folder: str) -> bool:
    """Tell whether an artifact lacks a file that the page may be made from: nothing in checkpoints is, nor are documents."""
    outputs = (f"{folder}/{name}" for name in evidence.artifacts[folder].outputs)
    lacking = [name for name in outputs if not evidence.has(name)]
    return any(name.endswith((".json", ".jsonl")) and "/checkpoints/" not in name for name in lacking)


def _compared(evidence: Evidence, out: Path, findings: Findings) -> str | None:
    """Make the report again and compare; return why it could not be made, None when it was."""
    assert evidence.recipe is not None
    manifest = evidence.artifacts[_REPORT]
    made, ours = source_of(manifest.code_version), source_of(code_version())
    try:
        for missing in _made_again(evidence, evidence.recipe, out):
            findings.note(f"not all of the report was made again: {missing}")
    except MissingExtraError as error:
        return str(error)
    except Exception as error:
        if made == ours and not isinstance(error, ArtifactError):
            raise  # of the same version this is a fault, of whatever kind it is
        return f"it cannot be made by {ours}: {type(error).__name__}: {error}"
    other = [(name, what) for name, what in _differences(evidence, out) if not _is_drawn_otherwise(evidence, name, manifest, out)]
    drawn = [name for name, _ in _differences(evidence, out) if _is_drawn_otherwise(evidence, name, manifest, out)]
    if drawn:
        findings.note(f"drawings differ, which other versions of packages made here: {', '.join(drawn[:_MOST_NAMED])}")
    if other and made != ours:
        return (
            f"it was made by {made}, and this is {ours}, which gives another {', '.join(name for name, _ in other[:_MOST_NAMED])}"
        )
    for name, what in other[:_MANY_FAULTS]:
        findings.fault(evidence.run / _REPORT / name, what, _AGAIN)
    return None


def _made_again(evidence: Evidence, recipe: Recipe, out: Path) -> Iterator[str]:
    """Write the report's files; yield why some of them cannot be written here. Raises as `compose` does."""
    run = evidence.run
    made: dict[str, Any] = {LEDGER: _ledger(evidence)}
    if evidence.has(VERIFICATION):
        made[VERIFICATION] = evidence.tree.json(VERIFICATION)
    report = compose(Facts(run, made), recipe)
    write_page(report, out)
    writers: list[Callable[[], object]] = [lambda: write_pdf(report, out)]
    documents = evidence.artifacts.get("documents")
    if documents is not None and not all(evidence.has(f"documents/{name}") for name in documents.outputs):
        yield f"the documents that {CARD} and {CROISSANT} are about are not here"
    elif recipe.sources:
        writers += [lambda: write_card(run, recipe, out), lambda: write_croissant(run, recipe, out)]
    for write in writers:
        try:
            write()
        except MissingExtraError as error:
            yield str(error)


def _ledger(evidence: Evidence) -> list[Mapping[str, Any]]:
    """The ledger as it was when the report was begun."""
    begun = max((one.line for one in attempts_of(evidence.events) if one.stage == _REPORT and one.outcome == "end"), default=0)
    return before_report(evidence.events[: begun - 1] if begun else evidence.events)


def _differences(evidence: Evidence, out: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each file of the report that is another when it is made again, and what differs."""
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = file.relative_to(out).as_posix()
        place = f"{_REPORT}/{name}"
        if not evidence.has(place):
            if not evidence.is_left_out(place):
                yield name, "is missing; the report has it when it is made again"
        elif evidence.tree.read(place) != file.read_bytes():
            yield from _numbers(evidence, file) if name == NUMBERS else [(name, "is another when the report is made again")]


def _numbers(evidence: Evidence, file: Path) -> Iterator[tuple[str, str]]:
    wanted, found = orjson.loads(file.read_bytes())["numbers"], evidence.tree.json(f"{_REPORT}/{NUMBERS}")["numbers"]
    if len(wanted) != len(found):
        yield NUMBERS, f"has {len(found)} numbers, and {len(wanted)} when the report is made again"
    for one, other in zip(wanted, found, strict=False):
        for key in one:
            if one[key] != other.get(key):
                yield NUMBERS, f"number {one['id']}: {key} is {one[key]!r:.60} when made again; got {other.get(key)!r:.60}"


def _is_drawn_otherwise(evidence: Evidence, name: str, manifest: Manifest, out: Path) -> bool:
    """Tell whether only drawings differ, and other packages than the report's made them here."""
    told, here = manifest.environment, environment()
    same = all(told.get(key) == here.get(key) for key in ("system", "python"))
    same &= told.get("packages", {}).get("numpy") == here["packages"].get("numpy")
    if same and all(_version(package) == told for package, told in manifest.config.get("drawn_with", {}).items()):
        return False
    if name.endswith((".svg", ".pdf")):
        return evidence.has(f"{_REPORT}/{name}")
    if not name.endswith(".html") or not evidence.has(f"{_REPORT}/{name}"):
        return False
    pages = ((out / name).read_bytes(), evidence.tree.read(f"{_REPORT}/{name}"))
    return len({_DRAWING.sub(b"", page) for page in pages}) == 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _check_texts(evidence: Evidence, findings: Findings) -> None:
    """Say of how many numbers the text is none that their value has in any of the report's formats."""
    if not evidence.has(f"{_REPORT}/{NUMBERS}"):
        return
    numbers = evidence.tree.json(f"{_REPORT}/{NUMBERS}")["numbers"]
    other = [one for one in numbers if not is_text_of(one["text"], one["value"])]
    if other:
        named = ", ".join(f"{one['id']} ({one['text']!r:.30} of {one['value']!r:.30})" for one in other[:_MOST_NAMED])
        told = f"the text of {len(other)} of {len(numbers)} numbers is worked out from more than their value, or another than that"
        findings.note(f"{told}, and was not compared: {named}")
