"""Tables 9 and 10 against arithmetic, and against the report where its text is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pellucid.plan.printed_mixes import PrintedMixes, printed_mixes

REPORT = Path(__file__).parents[3] / "shared" / "reference" / "stable-lm-2-report.txt"


def test_the_control_is_english_and_code_and_the_columns_are_those_of_the_report() -> None:
    table = printed_mixes()
    control = table.weights_of(table.mixes[0])
    assert sum(weight > 0 for weight in control.values()) == 3
    assert sum(control.values()) == pytest.approx(0.9888)


def test_no_printed_column_adds_up_to_one_and_the_comment_says_which_sums_they_have() -> None:
    table = printed_mixes()
    sums = {mix: round(sum(table.weights_of(mix).values()), 4) for mix in table.mixes}
    assert sums == {"control": 0.9888, "mix1": 1.0488, "mix2": 0.9888, "mix3": 0.9888, "mix4": 1.0045, "mix5": 0.9992}


def test_printed_averages_are_those_of_24_scores_mostly_of_other_languages() -> None:
    scores = printed_mixes().scores
    average, english, lambada, okapi = (scores.of(column) for column in scores.columns)
    for mix in printed_mixes().mixes:
        # Each column is rounded to a hundredth, and the average once more.
        assert (4 * english[mix] + 5 * lambada[mix] + 15 * okapi[mix]) / 24 == pytest.approx(average[mix], abs=0.011)


def test_a_source_belongs_to_the_row_of_its_category_and_language() -> None:
    row_of = printed_mixes().row_of
    assert row_of("Web", "en") == row_of("Instruction", "en") == "Cultura-x En"
    assert row_of("Instruction", "nl") == "Cultura-x Nl"
    assert row_of("Wiki", "en") == "Others"
    assert row_of("Code", "en") == row_of("Code", "mul") == row_of("Code", None) == "Starcoder"
    assert {row_of("Wiki", "de"), row_of("Code", "de"), row_of("Web", "pl"), row_of("Web", None), row_of("Law", "mul")} == {None}


def test_no_source_can_belong_to_two_rows() -> None:
    pairs = [(category, one) for row in printed_mixes().rows for category in row.categories for one in row.languages]
    assert len(set(pairs)) == len(pairs)


def test_both_tables_are_quoted_cell_by_cell() -> None:
    if not REPORT.is_file():
        pytest.skip("the report is not at hand")
    lines, table = REPORT.read_text(encoding="utf-8").splitlines(), printed_mixes()
    first = next(number for number, line in enumerate(lines) if line.startswith("Source\tControl")) + 1
    printed = {name: cells for name, *cells in (line.split("\t") for line in lines[first : first + len(table.rows)])}
    assert {name: tuple(map(float, cells)) for name, cells in printed.items()} == {row.name: row.weights for row in table.rows}
    first = next(number for number, line in enumerate(lines) if line.startswith("Data\tAvg")) + 1
    names, rows = lines[first - 1].split("\t")[1:], [line.split("\t") for line in lines[first : first + len(table.mixes)]]
    assert tuple(names) == table.scores.columns
    assert [row[0].lower().replace(" ", "") for row in rows] == list(table.mixes)
    assert [tuple(map(float, row[1:])) for row in rows] == [row.values for row in table.scores.rows]


def test_a_table_with_a_cell_missing_or_out_of_range_is_refused() -> None:
    good: dict[str, Any] = printed_mixes().model_dump(mode="json")
    for spoil in (
        lambda raw: raw["rows"][0]["weights"].pop(),
        lambda raw: raw["rows"][0]["weights"].__setitem__(0, 1.5),
        lambda raw: raw["scores"]["rows"][0]["values"].pop(),
        lambda raw: raw["scores"]["rows"].reverse(),
    ):
        raw = printed_mixes().model_dump(mode="json")
        spoil(raw)
        with pytest.raises(ValidationError, match="needs"):
            PrintedMixes.model_validate_json(json.dumps(raw))
    assert PrintedMixes.model_validate(good) == printed_mixes()
