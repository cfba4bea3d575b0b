"""The sources of a run with the licences that their records really carry, and what those allow."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import whole_lines
from pellucid.core.parquet import count_values
from pellucid.recipe.recipe import Recipe
from pellucid.release.licences import Standing, standing

__all__ = ["DATA_CARDS", "Kind", "ReleasedSource", "sources_of"]

DATA_CARDS = "data-cards"
Kind = Literal["documents", "conversations", "written"]
SPLITS = ("train", "heldout")
WRITTEN = "data/funnel.json"


@dataclass(frozen=True)
class ReleasedSource:
    """One source of documents, of conversations, or the examples that a stage wrote itself: its licences with how many records
    carry each.

    `folders` are those of the run that hold its texts or the tokens of them. What a stage wrote is under the release's own licence,
    and has none here. Names are told apart by `key`: documents and conversations may share one.
    """

    name: str
    folders: tuple[str, ...]
    licences: dict[str, int]
    permitted: tuple[str, ...]
    kind: Kind = "documents"

    @property
    def key(self) -> tuple[Kind, str]:
        """Kind and name: what tells it from every other source of the run."""
        return self.kind, self.name

    @property
    def is_text(self) -> bool:
        """Whether it has documents."""
        return self.kind == "documents"

    @property
    def card(self) -> str:
        """Path of its data card in the release."""
        return f"{DATA_CARDS}/{'' if self.is_text else f'{self.kind}-'}{self.name}.md"

    def licences_that(self, test: str) -> list[str]:
        """Return the licences of which `test` holds: "closed" for data, "non_commercial", or "unshareable"; most frequent first."""
        tests: dict[str, Callable[[Standing], bool]] = {
            "closed": lambda one: not one.content,
            "non_commercial": lambda one: one.non_commercial,
            "unshareable": lambda one: not one.shareable,
        }
        wanted = tests[test]
        return [name for name in self.licences if wanted(self.standing_of(name))]

    def standing_of(self, licence: str) -> Standing:
        """Return what one of its licences allows."""
        return standing(licence, self.permitted)

    @property
    def why_kept_back(self) -> str:
        """Why its texts are not passed on; empty when they may be."""
        closed = self.licences_that("unshareable")
        if not closed:
            return ""
        told = ", ".join(f"{name or 'no licence stated'} ({self.licences[name]} records)" for name in closed[:5])
        more = f" and {len(closed) - 5} more" if len(closed) > 5 else ""
        return f"nothing known allows passing on texts of {self.name} in the form they have here: {told}{more}"


def sources_of(run: Path, recipe: Recipe) -> list[ReleasedSource]:
    """Return the sources in the recipe's order, then what stages wrote themselves.

    Raises `ArtifactError` for documents or conversations that cannot be read.
    """
    permitted = recipe.release.redistribute
    found = []
    for source in recipe.sources:
        files = [file for split in SPLITS for file in sorted((run / "documents" / source.name / split).glob("*.parquet"))]
        folders = (f"documents/{source.name}", f"shards/{source.name}")
        found.append(ReleasedSource(source.name, folders, _ordered(count_values(files, "licence")), permitted))
    for talk in recipe.conversations:
        counted: Counter[str] = Counter()
        for split in SPLITS:
            about = run / "conversations" / talk.name / split / "about.jsonl"
            counted.update(_licences_in(about))
        found.append(ReleasedSource(talk.name, (f"conversations/{talk.name}",), _ordered(counted), permitted, "conversations"))
    stages = [stage.name for stage in recipe.train if (run / stage.name / WRITTEN).is_file()]
    return [*found, *(ReleasedSource(name, (f"{name}/{Path(WRITTEN).parent}",), {}, permitted, "written") for name in stages)]


def _licences_in(about: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    for number, line in whole_lines(about):
        try:
            counted[str(orjson.loads(line).get("licence") or "")] += 1
        except (orjson.JSONDecodeError, AttributeError) as error:
            raise ArtifactError(f"{about}, line {number} is no record of an example: {error}") from error
    return counted


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
