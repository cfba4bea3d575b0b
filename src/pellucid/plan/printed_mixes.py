"""The data mixes that the Stable LM 2 report compares (Appendix A, Tables 9 and 10), as data: weights, rows, and printed scores."""

from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pellucid.recipe.data import Category
from pellucid.recipe.section import Section
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["PRINTED_MIXES", "PrintedMixes", "PrintedRowOfMix", "PrintedScoresOfMixes", "Upsampled", "printed_mixes"]

PRINTED_MIXES = Path(__file__).parent / "printed_mixes.yaml"


class PrintedRowOfMix(Section):
    """One row of Table 9: its weight in every mix, and which sources of a recipe it stands for."""

    name: str
    weights: tuple[float, ...]
    categories: tuple[Category, ...] = Field(min_length=1, description="Sources of these categories belong to the row ...")
    languages: tuple[str | None, ...] = Field(min_length=1, description="... where they are of one of these languages.")

    def holds(self, category: str, language: str | None) -> bool:
        """Tell whether a source of this category and language belongs to the row."""
        return category in self.categories and language in self.languages


class Upsampled(Section):
    """In one mix, what a row has more than in the first mix goes to some of its categories alone."""

    mix: str
    row: str
    categories: tuple[Category, ...]


class MixScores(Section):
    """One row of Table 10, in percent."""

    mix: str
    values: tuple[float, ...]


class PrintedScoresOfMixes(Section):
    """Table 10: what the models of the mixes scored, in percent."""

    columns: tuple[str, ...]
    rows: tuple[MixScores, ...]

    def of(self, column: str) -> dict[str, float]:
        """Return a column by mix."""
        at = self.columns.index(column)
        return {row.mix: row.values[at] for row in self.rows}


class PrintedMixes(Section):
    """Tables 9 and 10. The first mix is the one that the others are compared with."""

    source: str
    report: str
    weights_table: str
    scores_table: str
    mixes: tuple[str, ...]
    rows: tuple[PrintedRowOfMix, ...]
    upsampled: Upsampled
    scores: PrintedScoresOfMixes

    @property
    def place(self) -> str:
        """Where it is printed: report, identifier and tables."""
        return f"{self.report} ({self.source}), {self.weights_table} and {self.scores_table}"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for row in self.rows:
            if len(row.weights) != len(self.mixes) or any(not 0 <= weight <= 1 for weight in row.weights):
                raise ValueError(
                    f"{self.weights_table}, {row.name}: needs a weight from 0 to 1 for each of {len(self.mixes)} mixes"
                )
        for scores in self.scores.rows:
            if len(scores.values) != len(self.scores.columns) or any(not 0 <= value <= 100 for value in scores.values):
                raise ValueError(f"{self.scores_table}, {scores.mix}: needs a value from 0 to 100 for each column")
        if tuple(scores.mix for scores in self.scores.rows) != self.mixes:
            raise ValueError(f"{self.scores_table}: needs one row for each of {', '.join(self.mixes)}")
        return self

    def weights_of(self, mix: str) -> dict[str, float]:
        """Return the weights of one mix by row, as printed."""
        at = self.mixes.index(mix)
        return {row.name: row.weights[at] for row in self.rows}

    def row_of(self, category: str, language: str | None) -> str | None:
        """Return the row that a source of this category and language belongs to; None where the table has none."""
        return next((row.name for row in self.rows if row.holds(category, language)), None)


@cache
def printed_mixes() -> PrintedMixes:
    """Return Tables 9 and 10 of the Stable LM 2 report."""
    tree = parse_yaml(PRINTED_MIXES.read_text(encoding="utf-8"), Stamp("given", PRINTED_MIXES.name))
    assert tree is not None
    raw: Any = plain(tree)
    return PrintedMixes.model_validate(raw)
