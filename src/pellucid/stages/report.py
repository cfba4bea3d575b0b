"""Everything before → `report/`: a page about the run, one about its documents, and a Croissant file; all read artifacts only."""

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import sha256_file
from pellucid.report.benchmarks import find_benchmarks
from pellucid.report.card import write_card
from pellucid.report.croissant import write_croissant
from pellucid.report.page import write_page
from pellucid.report.throughput import THROUGHPUT
from pellucid.stages.stage import Context, Stage

__all__ = ["REPORT"]


def _key(context: Context) -> Key:
    """The page shows times and machines too, so it follows the manifests themselves and not only what they hold.

    Of the ledger it follows the account: all that the page shows of it, and nothing that a report adds to it.
    """
    recipe = context.recipe
    stages = [stage.name for stage in recipe.train]
    text = ("documents", "shards") if recipe.sources else ()
    talk = ("conversations",) if recipe.conversations else ()
    scores = ("scores",) if recipe.text_stages else ()
    folders = [context.folder(name) for name in ("plan", "tokenizer", *text, *talk, *stages, *scores, "exports", "account")]
    inputs = {folder.name: sha256_file(folder / "manifest.json") for folder in folders}
    inputs |= {name: sha256_file(context.run / name) for name in find_benchmarks(context.run)}
    if (context.run / THROUGHPUT).is_file():
        inputs["throughput"] = sha256_file(context.run / THROUGHPUT)
    return Key("report", 3, 0, {"name": context.recipe.name}, inputs)


def _build(context: Context, build: Build) -> str:
    for write in (write_page, write_card, write_croissant) if context.recipe.sources else (write_page,):
        write(context.run, context.recipe, build.path)
    return str(context.run / "report" / "index.html")


REPORT = Stage("report", "report", _key, _build)
