"""The columns of a report's table from our tasks: by suite, part and metric."""

import pytest

from pellucid.evals.paired import Items
from pellucid.evals.printed_columns import Scored, compare_columns
from pellucid.evals.results import Record, summarise
from pellucid.plan.printed_scores import table_of

GREEDY = {"style": "complete", "samples": 1, "temperature": 0.0}


def scored(**suites: dict[str, dict[str, list[float]]]) -> Scored:
    records: dict[str, dict[str, Items]] = {}
    results = {}
    for suite, tasks in suites.items():
        records[suite] = {
            task: {
                str(n): Record(task, str(n), {metric: value})
                for metric, values in metrics.items()
                for n, value in enumerate(values)
            }
            for task, metrics in tasks.items()
        }
        tables = summarise((record for items in records[suite].values() for record in items.values()), 1)
        results[suite] = {"suite": suite, "tasks": tables, "settings": dict(GREEDY) if suite == "code" else {}, "facts": {}}
    return Scored(records, results)


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
        for row in compare_columns(table, [Scored({"instruct_eval": model.records["instruct_eval"]}, model.results)], 1, 0)
    }
    assert "HumanEval" not in without and without["Avg."]["missing"] == [["HumanEval"]] and without["Avg."]["values"] == [None]


def test_a_column_of_one_task_shows_what_its_result_shows() -> None:
    table = table_of("open_llm")
    assert table is not None
    model = scored(open_llm={"arc_challenge": {"acc_norm": [0.0, 1.0, 1.0]}})
    (arc, average) = compare_columns(table, [model, model], 1, 0)
    assert arc["values"][0] == model.results["open_llm"]["tasks"]["arc_challenge"]["metrics"]["acc_norm"] and arc["shots"] == 25
    assert arc["tests"][1]["p"] == 1.0 and average["values"] == [None, None]


def test_a_task_without_the_metric_is_not_taken_for_it() -> None:
    table = table_of("open_llm")
    assert table is not None
    model = scored(open_llm={"gsm8k": {"acc": [0.0, 1.0]}})
    assert [row["column"] for row in compare_columns(table, [model], 1, 0)] == ["Avg"]


def human_eval(model: Scored) -> dict[str, object] | None:
    table = table_of("instruct_eval")
    assert table is not None
    rows = {row["column"]: row for row in compare_columns(table, [model], 1, 0)}
    return rows["HumanEval"]["values"][0] if "HumanEval" in rows else None


def test_the_tables_own_suite_goes_before_the_other() -> None:
    model = scored(instruct_eval={"humaneval": {"pass@1": [0.0, 1.0] * 4}}, code={"humaneval": {"pass@1": [1.0] * 8}})
    found = human_eval(model)
    assert found is not None and found["value"] == 0.5


@pytest.mark.parametrize(
    ("settings", "styles", "stands"),
    [
        ({}, {}, True),
        ({"samples": 10, "temperature": 0.2}, {}, False),
        ({"style": "chat"}, {}, False),
        ({"style": "auto"}, {"complete": 8}, True),
        ({"style": "auto"}, {"chat": 8}, False),
        ({"style": "auto"}, {}, False),
    ],
)
def test_another_suite_stands_in_only_where_it_was_asked_the_same_way(
    settings: dict[str, object], styles: dict[str, int], stands: bool
) -> None:
    model = scored(code={"humaneval": {"pass@1": [1.0] * 8}})
    raw = {**model.results["code"], "settings": GREEDY | settings, "facts": {"tasks": {"humaneval": {"styles": styles}}}}
    assert (human_eval(model._replace(results={"code": raw})) is not None) is stands
