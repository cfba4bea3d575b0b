"""Everything before → `report/`: a page and a PDF about the run, a page about its documents, lists for programs."""

from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.artifacts import MANIFEST, Build, Key
from pellucid.core.files import read_json, sha256_file, write_json
from pellucid.core.ledger import LEDGER
from pellucid.core.metrics import read_metrics
from pellucid.report.benchmarks import find_benchmarks
from pellucid.report.card import write_card
from pellucid.report.croissant import write_croissant
from pellucid.report.facts import Facts, before_report
from pellucid.report.page import compose, write_page
from pellucid.report.throughput import THROUGHPUT
from pellucid.report.typst import write_pdf
from pellucid.report.verified import VERIFICATION
from pellucid.stages.stage import Context, Stage
from pellucid.stages.verify import verify_run

__all__ = ["REPORT", "look_again"]

_DRAWN_WITH = ("matplotlib", "typst")
# Notes that tell of the report that is being made, or that a run is no release.
_OF_THE_REPORT = ("attempts at report", "attempts at account", ".report.", "no release:")


def _key(context: Context) -> Key:
    """The page shows times and machines too, so it follows the manifests themselves and not only what they hold.

    What draws the figures and sets the PDF decides its bytes as well, and so does the ledger up to where the report was begun.
    """
    recipe = context.recipe
    stages = [stage.name for stage in recipe.train]
    text = ("documents", "shards") if recipe.sources else ()
    talk = ("conversations",) if recipe.conversations else ()
    scores = ("scores",) if recipe.text_stages else ()
    folders = [context.folder(name) for name in ("plan", "tokenizer", *text, *talk, *stages, *scores, "exports")]
    # Runs from before there were accounts have none.
    folders += [context.run / name for name in ("account",) if (context.run / name / MANIFEST).is_file()]
    inputs = {folder.name: sha256_file(folder / MANIFEST) for folder in folders}
    inputs |= {name: sha256_file(context.run / name) for name in find_benchmarks(context.run)}
    if (context.run / THROUGHPUT).is_file():
        inputs["throughput"] = sha256_file(context.run / THROUGHPUT)
    drawn_with = {name: _version(name) for name in _DRAWN_WITH}
    ledger = sha256(orjson.dumps(_events(context.run))).hexdigest()
    return Key("report", 4, 0, {"name": context.recipe.name, "drawn_with": drawn_with, "ledger": ledger}, inputs)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _events(run: Path) -> list[Any]:
    """The ledger as it was when the report was begun."""
    return before_report(list(read_metrics(run / LEDGER))) if (run / LEDGER).is_file() else []


def _build(context: Context, build: Build) -> str:
    found = look_again(context.run)
    write_json(build.path / Path(VERIFICATION).name, found)
    report = compose(Facts(context.run, {VERIFICATION: found}), context.recipe)
    write_page(report, build.path)
    write_pdf(report, build.path)
    for write in (write_card, write_croissant) if context.recipe.sources else ():
        write(context.run, context.recipe, build.path)
    build.summary.update(artifacts=found["artifacts"], faults=found["faults_found"])
    return str(context.run / "report" / "index.html")


def look_again(run: Path) -> dict[str, Any]:
    """Return what `pellucid verify` says of all that came before the report, as `report/verification.json` holds it.

    It is a function of the artifacts: without times, without the folder's place, and without what the report itself adds.
    """
    found = verify_run(run, without=("report",))
    manifests = [run / name / MANIFEST for name in found.checked]
    artifacts = [read_json(manifest) for manifest in manifests if manifest.is_file()]
    checks = [
        {
            "name": one.name,
            "proves": one.proves,
            "unit": one.unit,
            "looked": len(_events(run)) if one.name == "ledger" else one.looked,
            "faults": len(one.faults),
        }
        for one in found.checks
    ]
    return {
        "schema_version": 1,
        "command": "pellucid verify RUN",
        "artifacts": len(artifacts),
        "bytes": sum(output["bytes"] for manifest in artifacts for output in manifest.get("outputs", {}).values()),
        "faults_found": len(found.faults),
        "checks": checks,
        "faults": [_inside(fault, run) for fault in found.faults],
        "notes": [_inside(note, run) for note in found.notes if not note.startswith(_OF_THE_REPORT)],
    }


def _inside(text: str, run: Path) -> str:
    """Paths of a machine are none of the report's business."""
    return text.replace(f"{run}/", "").replace(str(run), "RUN")


REPORT = Stage("report", "report", _key, _build)
