"""What cannot work between the cleaning steps and what is selected by them."""

from collections.abc import Iterator

from pellucid.recipe.problems import Finding
from pellucid.recipe.recipe import Recipe

__all__ = ["document_sizes", "source_folders", "source_selection"]

# Files beside the sources' folders in documents/, shards/ and the artifacts they are in.
_TAKEN = ("building.json", "contamination.json", "funnel.json", "manifest.json")


def document_sizes(recipe: Recipe) -> Iterator[Finding]:
    """Some size is allowed."""
    smallest, largest = recipe.documents.min_bytes, recipe.documents.max_bytes
    if smallest > largest:
        yield Finding(("documents", "min_bytes"), f"got {smallest}; must be at most max_bytes = {largest}")


def source_folders(recipe: Recipe) -> Iterator[Finding]:
    """A source's folder lies beside files that are called something too."""
    for index, source in enumerate(recipe.sources):
        if source.name.casefold() in _TAKEN:
            yield Finding(
                ("sources", index, "name"), f"got {source.name!r}; a file of the artifact has that name", "choose another"
            )


def source_selection(recipe: Recipe) -> Iterator[Finding]:
    """A subset has a limit, and a score that a step gives."""
    for index, source in enumerate(recipe.sources):
        select = source.select
        if select is None:
            continue
        loc = ("sources", index, "select")
        if select.documents is None and select.bytes is None:
            yield Finding(loc, "has no limit, so it selects everything", "add documents: N or bytes: N, or leave select out")
        steps = recipe.documents.clean if source.clean is None else source.clean
        if select.by == "perplexity" and not any(step.step == "perplexity" for step in steps):
            where = "documents.clean" if source.clean is None else "the source's clean"
            yield Finding(
                (*loc, "by"),
                f"got 'perplexity'; no step of {where} measures it",
                "add {step: perplexity, model: FILE}, or use by: random",
            )
