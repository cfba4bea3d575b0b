"""Scores that reports print, as data: reference rows beside ours, always marked as printed, and what their averages are made of."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from pellucid.recipe.section import Section
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["PRINTED_SCORES", "PrintedColumn", "PrintedRow", "PrintedTable", "printed_tables", "table_of"]

PRINTED_SCORES = Path(__file__).parent / "printed_scores.yaml"

LIMITS = {"percent": (0.0, 100.0), "grade": (1.0, 10.0)}


class PrintedColumn(Section):
    """One column: the name in print, and which of our tasks and metrics it is about."""

    name: str
    tasks: tuple[str, ...] = Field(min_length=1, description="Our tasks; the column is the mean over them.")
    part: str | None = Field(None, description="Only items of this group of a task, such as a language.")
    suite: str | None = Field(None, description="Suite that has the tasks too: it is asked where the table's own has none.")
    metrics: tuple[str, ...] = Field(min_length=1, description="The first of them that a task has.")
    settings: dict[str, Any] = Field(
        {}, description="Settings that the other suite's result must have had, or it does not stand in this column."
    )
    shots: int | None = Field(ge=0, description="Worked examples in the prompt, as the report says.")

    def metric_of(self, metrics: Iterable[str]) -> str | None:
        """Return which of a task's metrics this column is about, whatever their order.

        The name itself goes before names with a filter after a comma (`exact_match,strict-match`), of which the first by name
        counts.
        """
        known = sorted(set(metrics))
        for wanted in self.metrics:
            if wanted in known:
                return wanted
            if found := next((name for name in known if name.partition(",")[0] == wanted), None):
                return found
        return None


class PrintedRow(Section):
    """One model's row, as printed. `tuned` is the report's † (aligned models); `note` says where the print contradicts itself."""

    model: str
    size: str | None = None
    tuned: bool = False
    values: tuple[float, ...]
    average: float | None = None
    note: str | None = None

    @property
    def title(self) -> str:
        """The model's name with the mark by which every printed row is known, †, and a word for the report's own †."""
        return f"{self.model} (aligned) †" if self.tuned else f"{self.model} †"


class PrintedTable(Section):
    """One table of a report. `average` names its column of averages over `columns`; None where it has none."""

    suite: str
    source: str
    report: str
    table: str
    unit: Literal["percent", "grade"]
    decimals: int
    average: str | None
    about: str
    columns: tuple[PrintedColumn, ...]
    rows: tuple[PrintedRow, ...]

    @property
    def place(self) -> str:
        """Where it is printed: report, identifier and table."""
        return f"{self.report} ({self.source}), {self.table}"

    @property
    def footnotes(self) -> tuple[str, ...]:
        """What has to stand under any table that shows these rows: that they are printed, where, and what is wrong with them."""
        notes = tuple(f"{row.model} †: {row.note}." for row in self.rows if row.note is not None)
        return (f"† Printed in {self.place}; not measured here. {self.about}", *notes)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        low, high = LIMITS[self.unit]
        for row in self.rows:
            if len(row.values) != len(self.columns) or (row.average is None) != (self.average is None):
                raise ValueError(f"{self.table}, {row.model}: {len(row.values)} values for {len(self.columns)} columns")
            if any(not low <= value <= high for value in (*row.values, row.average or low)):
                raise ValueError(f"{self.table}, {row.model}: a value is outside {low:g} to {high:g}")
        return self

    def mean_of(self, row: PrintedRow) -> float:
        """Return the mean of a row's columns, which its printed average should be."""
        return sum(row.values) / len(row.values)

    def adds_up(self, row: PrintedRow) -> bool:
        """Tell whether a row's columns, each rounded by at most half a last digit, can have the printed average, rounded so too."""
        return row.average is None or abs(self.mean_of(row) - row.average) <= 10.0**-self.decimals + 1e-9

    def show(self, value: float) -> str:
        """Return a value with the decimals of the print."""
        return f"{value:.{self.decimals}f}"


@cache
def printed_tables() -> tuple[PrintedTable, ...]:
    """Return all printed tables, in the file's order."""
    tree = parse_yaml(PRINTED_SCORES.read_text(encoding="utf-8"), Stamp("given", PRINTED_SCORES.name))
    assert tree is not None
    raw: Any = plain(tree)
    return TypeAdapter(tuple[PrintedTable, ...]).validate_python(raw)


def table_of(suite: str) -> PrintedTable | None:
    """Return the printed table that a suite measures again, or None."""
    return next((table for table in printed_tables() if table.suite == suite), None)
