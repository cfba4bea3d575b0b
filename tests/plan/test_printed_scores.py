"""Every number of the shipped reference rows against arithmetic, and against the reports where their texts are at hand."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from pellucid.evals.suites import SUITES
from pellucid.plan.printed_scores import PrintedTable, printed_tables, table_of

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
TABLES = {table.suite: table for table in printed_tables()}
ROWS = [(table, row) for table in printed_tables() for row in table.rows]


def reference(name: str) -> str:
    if not (REFERENCE / name).is_file():
        pytest.skip(f"{name} is not at hand")
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_there_are_all_tables_with_all_their_rows() -> None:
    found = {(table.report, table.table): (len(table.rows), len(table.columns)) for table in printed_tables()}
    assert found == {
        ("TinyLlama", "Table 2"): (4, 7),
        ("TinyLlama", "Table 3"): (3, 4),
        ("Stable LM 2", "Table 4"): (11, 6),
        ("Stable LM 2", "Table 5"): (12, 7),
        ("Stable LM 2", "Table 7"): (11, 1),
        ("Stable LM 2", "Appendix C"): (2, 1),
    }
    assert set(TABLES) <= set(SUITES), "each belongs to a suite of ours"


def test_rows_that_do_not_average_to_the_printed_average_are_the_noted_ones() -> None:
    wrong = {(table.report, row.model, table.table) for table, row in ROWS if not table.adds_up(row)}
    assert wrong == {
        ("TinyLlama", "Pythia-1.0B", "Table 2"),
        ("TinyLlama", "TinyLlama-1.1B", "Table 2"),
        ("TinyLlama", "Pythia-1.4B", "Table 3"),
    }
    for table, row in ROWS:
        if not table.adds_up(row):
            assert row.note is not None and f"average {table.mean_of(row):.2f}" in row.note
        elif row.note is not None:
            assert "average" not in row.note


def test_the_note_about_pythia_says_what_would_add_up() -> None:
    table = TABLES["tinyllama_commonsense"]
    pythia, tiny = table.rows[1], table.rows[3]
    assert pythia.average is not None
    others = [value for column, value in zip(table.columns, pythia.values, strict=True) if column.name != "BoolQ"]
    assert pythia.note is not None and f"{7 * pythia.average - sum(others):.2f}" == "60.86" and "60.86" in pythia.note
    assert pythia.values[5] == tiny.values[5] == 57.83


def printed_rows(text: str, head: str) -> dict[str, list[str]]:
    """The rows of a table in the text of the report: name → cells as they are printed."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(head)) + 1
    rows = {}
    for line in lines[first:]:
        if "\t" not in line:
            break
        name, *cells = line.split("\t")
        rows[name] = cells
    return rows


@pytest.mark.parametrize(
    ("suite", "head"), [("open_llm", "Model\tSize\tAvg"), ("multilingual", "Model\tAll"), ("mt_bench", "Model\tSize\tMT")]
)
def test_stable_lm_2_is_quoted_cell_by_cell(suite: str, head: str) -> None:
    printed = printed_rows(reference("stable-lm-2-report.txt"), head)
    table = TABLES[suite]
    ours = {}
    for row in table.rows:
        sizes = [row.size] if row.size is not None else []
        averages = [table.show(row.average)] if row.average is not None else []
        ours[row.model + "†" * row.tuned] = [*sizes, *averages, *map(table.show, row.values)]
    assert ours == printed
    assert list(ours) == list(printed), "in the order of the report"


@pytest.mark.parametrize("suite", ["tinyllama_commonsense", "instruct_eval"])
def test_tinyllama_is_quoted_cell_by_cell(suite: str) -> None:
    text = reference("tinyllama-paper.md")
    text = text[text.index(f"Table {'2' if suite == 'tinyllama_commonsense' else '3'}: ") :]
    table = TABLES[suite]
    for row in table.rows:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row.model} |"))
        cells = [re.sub(r"[^0-9.]", "", cell.replace("mathbf", "")) for cell in line.split("|")[2:-1]]
        assert row.average is not None
        assert cells == [*map(table.show, row.values), table.show(row.average)]


def test_the_needle_is_quoted() -> None:
    text = reference("stable-lm-2-report.txt")
    assert all(f"\u2248 {row.values[0]}" in text for row in TABLES["needle"].rows)


def test_shots_are_those_of_the_reports() -> None:
    assert [column.shots for column in TABLES["open_llm"].columns] == [25, 10, 5, 0, 5, 5]
    assert [column.shots for column in TABLES["instruct_eval"].columns] == [5, 3, 0, 3]


def test_a_column_knows_the_metric_of_each_task() -> None:
    gsm, german = TABLES["open_llm"].columns[5], TABLES["multilingual"].columns[1]
    assert gsm.metric_of(("acc", "exact_match,strict-match")) == "exact_match,strict-match"
    assert gsm.metric_of(("acc",)) is None
    assert german.part == "de" and german.metric_of(("acc", "acc_norm")) == "acc_norm" and german.metric_of(("acc",)) == "acc"
    assert TABLES["instruct_eval"].columns[2].suite == "code"
    assert all(column.suite is None or column.suite in SUITES for table in printed_tables() for column in table.columns)


@pytest.mark.parametrize("fault", [{"values": (1.0,)}, {"values": (101.0,) * 7}, {"average": None}])
def test_a_row_that_cannot_be_is_refused(fault: dict[str, object]) -> None:
    raw = TABLES["multilingual"].model_dump()
    raw["rows"][0].update(fault)
    with pytest.raises(ValidationError, match="Table 5, stablelm-3b-4e1t"):
        PrintedTable.model_validate(raw)


def test_every_printed_row_is_marked() -> None:
    titles = [row.title for _, row in ROWS]
    assert all(title.endswith(" †") for title in titles) and "phi-2 (aligned) †" in titles
    notes = TABLES["open_llm"].footnotes
    assert notes[0].startswith("† Printed in Stable LM 2 (arXiv 2402.17834), Table 4; not measured here.")
    assert any("47.87" in note for note in TABLES["tinyllama_commonsense"].footnotes)
    assert table_of("choices") is None and table_of("open_llm") is TABLES["open_llm"]


def test_the_order_of_metrics_does_not_matter() -> None:
    gsm, mmlu = TABLES["open_llm"].columns[5], TABLES["open_llm"].columns[2]
    names = ("exact_match,flexible-extract", "exact_match,strict-match")
    assert gsm.metric_of(names) == gsm.metric_of(names[::-1]) == "exact_match,strict-match"
    assert mmlu.metric_of(("acc,none", "acc")) == "acc" and mmlu.metric_of(("acc,z", "acc,a")) == "acc,a"
