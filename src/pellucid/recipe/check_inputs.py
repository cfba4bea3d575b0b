"""What sources of text and of conversations have in common: a place that they are read from, and a name that is a folder."""

from collections.abc import Iterator, Sequence

from pellucid.recipe.problems import Finding, Loc
from pellucid.recipe.section import InputSection

__all__ = ["one_place", "unique_names"]


def one_place(source: InputSection, loc: Loc) -> Iterator[Finding]:
    """A source is files or a data set on the hub."""
    if (source.path is None) == (source.hub is None):
        count = "neither path nor hub" if source.path is None else "both path and hub"
        yield Finding(loc, f"has {count}; must have exactly one", "path: FILE-OR-GLOB, or hub: owner/name")


def unique_names(names: Sequence[str], kind: str) -> Iterator[Finding]:
    """Names are folders: unique even where capitals do not count."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name.casefold() in first:
            yield Finding((kind, index, "name"), f"got {name!r}; {kind}[{first[name.casefold()]}] has that name already")
        first.setdefault(name.casefold(), index)
