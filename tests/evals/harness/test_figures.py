import math
from dataclasses import replace

import pytest

from pellucid.evals.harness.figures import aggregated, average, printed
from pellucid.evals.harness.groups import Benchmark, Group, Member
from pellucid.evals.results import Record

ONE = Benchmark("one", "", (Member("one"),), "acc")
TWO = Benchmark("two", "", (Member("two_a", "a"), Member("two_b", "b")), None)


def record(task: str, item: str, part: str | None = None, **scores: float) -> Record:
    return Record(task, item, scores, group=part)


def test_a_column_is_the_mean_over_items_and_the_mean_over_parts_beside_it() -> None:
    records = [record("two", f"a/{n}", "a", acc=1, acc_norm=0) for n in range(3)]
    records += [record("two", "b/0", "b", acc=0, acc_norm=1), record("one", "0", acc=0)]
    column = printed(TWO, records)
    assert (column["metric"], column["value"], column["items"]) == ("acc_norm", 0.25, 4)
    assert column["parts"] == {"a": 0, "b": 1} and column["mean over parts"] == 0.5 and column["mean over items"] == 0.25
    macro = printed(replace(TWO, over_parts=True), records)
    assert (macro["value"], macro["mean over items"], macro["items"]) == (0.5, 0.25, 4)
    assert printed(replace(TWO, over_parts=True), [])["value"] is None
    assert printed(ONE, records)["value"] == 0 and "parts" not in printed(ONE, records)
    assert printed(ONE, [])["value"] is None


def test_an_average_needs_every_column_whole() -> None:
    group = Group("g", "a table", (ONE, TWO))
    columns = {"one": {"value": 0.2, "parts_missing": 0}, "two": {"value": 0.4, "parts_missing": 0}}
    assert average(group, columns)["average"] == pytest.approx(0.3)
    assert average(group, {**columns, "two": {"value": 0.4, "parts_missing": 1}})["average"] is None
    assert average(group, {"one": columns["one"]})["average"] is None
    delegated = Group("g", "a table", (ONE, TWO), {"three": "pass@1"})
    assert average(delegated, columns)["average"] is None
    assert average(delegated, {**columns, "three": {"value": 0.0, "parts_missing": 0}})["average"] == pytest.approx(0.2)
    beside = Group("g", "a table", (ONE, TWO, Benchmark("three", "", (), "acc", averaged=False)))
    assert average(beside, columns) == {"average": pytest.approx(0.3), "over": ["one", "two"]}


def test_a_table_of_languages_averages_them() -> None:
    first = Benchmark("first", "", (Member("x", "de"), Member("y", "fr")), "acc")
    second = Benchmark("second", "", (Member("z", "de"), Member("w", "fr")), "acc")
    group = Group("g", "a table", (first, second), by_part=True)
    columns = {
        "first": {"value": 0.5, "parts": {"de": 0.2, "fr": 0.4}, "parts_missing": 0},
        "second": {"value": 0.5, "parts": {"de": 0.4, "fr": 0.6}, "parts_missing": 0},
    }
    found = average(group, columns)
    assert found["parts"] == pytest.approx({"de": 0.3, "fr": 0.5}) and found["average"] == pytest.approx(0.4)
    del columns["second"]["parts"]["fr"]  # type: ignore[attr-defined]
    assert average(group, columns)["parts"]["fr"] is None and average(group, columns)["average"] is None


def test_the_harness_own_aggregations_are_used() -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.metrics import f1_score, perplexity

    class Task:
        def aggregation(self) -> dict[str, object]:
            return {"perplexity": perplexity, "f1": f1_score}

    records = [Record("t", str(n), details={"raw": {"perplexity": -n, "f1,none": [n % 2, 1]}}) for n in range(4)]
    figures = aggregated([Task()], records)
    assert figures["perplexity"] == pytest.approx(math.exp(1.5))
    assert figures["f1,none"] == pytest.approx(2 / 3)
    assert aggregated([Task()], [record("t", "0", acc=1)]) == {}
