"""The columns of a report's table from our tasks: by suite, part and metric."""

import pytest

from pellucid.evals.paired import Items
from pellucid.evals.printed_columns import Scored, compare_columns
from pellucid.evals.results import Record, summarise
from pellucid.plan.printed_scores import table_of


def scored(**suites: dict[str, dict[str, list[float]]]) -> Scored:
    records: dict[str, dict[str, Items]] = {}
    tables = {}
    for suite, tasks in suites.items():
        records[suite] = {
            task: {
                str(n): Record(task, str(n), {metric: value})
                for metric, values in metrics.items()
                for n, value in enumerate(values)
            }
            for task, metrics in tasks.items()
        }
        tables[suite] = summarise((record for items in records[suite].values() for record in items.values()), 1)
    return Scored(records, tables)


def test_a_column_can_come_from_another_suite() -> None:
    table = table_of("instruct_eval")
    assert table is not None
    half = [0.0, 1.0] * 10
    model = scored(
        instruct_eval={"mmlu": {"acc": half}, "bbh": {"exact_match": half}, "drop": {"em": half}},
        code={"humaneval": {"pass@1": [1.0] * 8}},
    )
    rows = {row["column"]: row for row in compare_columns(table, [model], 1, 0)}
    assert list(rows) == ["MMLU", "BBH", "HumanEval", "DROP", "Avg."]
    assert rows["Avg."]["values"][0]["value"] == pytest.approx((0.5 * 3 + 1) / 4)
    without = {
        row["column"]: row
        for row in compare_columns(table, [Scored({"instruct_eval": model.records["instruct_eval"]}, model.tables)], 1, 0)
    }
    assert "HumanEval" not in without and without["Avg."]["missing"] == [["HumanEval"]] and without["Avg."]["values"] == [None]


def test_a_column_of_one_task_shows_what_its_result_shows() -> None:
    table = table_of("open_llm")
    assert table is not None
    model = scored(open_llm={"arc_challenge": {"acc_norm": [0.0, 1.0, 1.0]}})
    (arc, average) = compare_columns(table, [model, model], 1, 0)
    assert arc["values"][0] == model.tables["open_llm"]["arc_challenge"]["metrics"]["acc_norm"] and arc["shots"] == 25
    assert arc["tests"][1]["p"] == 1.0 and average["values"] == [None, None]


def test_a_task_without_the_metric_is_not_taken_for_it() -> None:
    table = table_of("open_llm")
    assert table is not None
    model = scored(open_llm={"gsm8k": {"acc": [0.0, 1.0]}})
    assert [row["column"] for row in compare_columns(table, [model], 1, 0)] == ["Avg"]
