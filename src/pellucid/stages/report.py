"""Everything before → `report/`: one page that reads artifacts only."""

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import sha256_file
from pellucid.report.page import write_page
from pellucid.stages.stage import Context, Stage

__all__ = ["REPORT"]


def _key(context: Context) -> Key:
    """The page shows times and machines too, so it follows the manifests themselves and not only what they hold."""
    stages = [stage.name for stage in context.recipe.train]
    folders = [context.folder(name) for name in ("plan", "documents", "tokenizer", "shards", *stages, "scores", "exports")]
    return Key("report", 1, 0, {"name": context.recipe.name}, {f.name: sha256_file(f / "manifest.json") for f in folders})


def _build(context: Context, build: Build) -> str:
    write_page(context.run, context.recipe, build.path)
    return str(context.run / "report" / "index.html")


REPORT = Stage("report", "report", _key, _build)
