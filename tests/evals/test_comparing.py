"""Two models of known ability: who is better is found, who is alike is not told apart, and nothing unlike is compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.comparing import Model, compare, group_models
from pellucid.evals.stored import open_results

Write = Callable[..., Path]
TASKS = {"arc_challenge": 0.3, "hellaswag": 0.4, "mmlu": 0.3, "truthfulqa_mc2": 0.4, "winogrande": 0.5, "gsm8k": 0.1}


def models(*folders: Path) -> list[Model]:
    return group_models({str(folder): open_results(folder) for folder in folders})


def row(found: dict[str, Any], suite: str, task: str, metric: str = "acc") -> dict[str, Any]:
    tables = {one["suite"]: one for one in found["suites"]}
    return next(one for one in tables[suite]["rows"] if one["task"] == task and one["metric"] == metric)


@pytest.fixture
def three(write_result: Write, tmp_path: Path) -> list[Path]:
    for label, shift in (("weak", 0.0), ("strong", 0.12), ("twin", 0.0)):
        write_result(tmp_path / label, "choices", label, {"piqa": 0.5 + shift, "arc_easy": 0.4}, dirty=20)
    return [tmp_path / label for label in ("weak", "strong", "twin")]


def test_the_stronger_is_found_and_twins_are_not_told_apart(three: list[Path]) -> None:
    found = compare(models(*three), 1)
    assert [model["name"] for model in found["models"]] == ["weak", "strong", "twin"] and found["baseline"] == 0
    piqa = row(found, "choices", "piqa")
    assert piqa["main"] and piqa["unit"] == "percent" and not piqa["lower_is_better"]
    none, strong, twin = piqa["tests"]
    assert none is None and strong["verdict"] == "better" and strong["test"] == "mcnemar" and strong["items"] == 200
    assert strong["p"] <= strong["p_holm"] and strong["tested_together"] == 2
    assert twin["verdict"] == "cannot be told apart"
    values = [cell["value"] for cell in piqa["values"]]
    assert strong["value"] == pytest.approx(values[1] - values[0])


def test_other_metrics_stand_behind_the_first_and_less_can_be_better(three: list[Path]) -> None:
    found = compare(models(*three), 1)
    bits = row(found, "choices", "piqa", "bits_per_byte")
    assert not bits["main"] and bits["lower_is_better"] and bits["unit"] == "number"
    assert bits["tests"][1]["value"] < 0 and bits["tests"][1]["verdict"] == "better"


def test_the_baseline_can_be_another(three: list[Path]) -> None:
    found = compare(models(*three), 1, baseline=1)
    first, second, _ = row(found, "choices", "piqa")["tests"]
    assert second is None and first["verdict"] == "worse"


def test_clean_items_have_their_own_values(three: list[Path]) -> None:
    piqa = row(compare(models(*three), 1), "choices", "piqa")
    assert [cell["items"] for cell in piqa["clean"]] == [180] * 3 and piqa["clean"][0]["looked_up"] == 200


def test_the_average_of_the_report_is_the_mean_of_its_columns(write_result: Write, tmp_path: Path) -> None:
    metrics = {"arc_challenge": "acc_norm", "hellaswag": "acc_norm", "gsm8k": "exact_match,strict-match"}
    folders = []
    for label, shift in (("a", 0.0), ("b", 0.1)):
        # One suite, whose tasks have different metrics: written task by task, then joined.
        parts = []
        for task, ability in TASKS.items():
            metric = metrics.get(task, "acc")
            parts.append(write_result(tmp_path / label / task, "open_llm", label, {task: ability + shift}, metric=metric))
        folders.append(join(parts, tmp_path / "joined" / label / "open_llm").parent)
    found = compare(models(*folders), 1)
    columns = {one["column"]: one for one in found["suites"][0]["columns"]}
    assert list(columns) == ["ARC", "HS", "MMLU", "TQA", "Wino", "GSM", "Avg"]
    average = columns["Avg"]
    for number in range(2):
        mean = sum(columns[name]["values"][number]["value"] for name in list(columns)[:6]) / 6
        assert average["values"][number]["value"] == pytest.approx(mean) and average["missing"][number] == []
    errors = [columns[name]["values"][0]["stderr"] for name in list(columns)[:6]]
    assert average["values"][0]["stderr"] == pytest.approx(sum(error**2 for error in errors) ** 0.5 / 6, rel=0.08)
    assert average["tests"][1]["verdict"] == "better" and average["tests"][1]["items"] == 1200
    assert row(found, "open_llm", "gsm8k", "exact_match,strict-match")["main"]


def join(parts: list[Path], out: Path) -> Path:
    """Several results of one suite on one model, as one."""
    import orjson

    from pellucid.core.files import write_json

    out.mkdir(parents=True)
    (out / "items.jsonl").write_bytes(b"".join((part / "items.jsonl").read_bytes() for part in parts))
    raws = [orjson.loads((part / "result.json").read_bytes()) for part in parts]
    write_json(out / "result.json", raws[0] | {"tasks": {task: table for raw in raws for task, table in raw["tasks"].items()}})
    return out


def test_columns_by_part_and_what_lacks_for_an_average(write_result: Write, tmp_path: Path) -> None:
    tasks = {f"{name}_multilingual": 0.3 for name in ("arc", "hellaswag", "truthfulqa", "mmlu")}
    write_result(tmp_path / "a", "multilingual", "a", tasks, parts=("de", "fr"), metric="acc_norm")
    columns = {one["column"]: one for one in compare(models(tmp_path / "a"), 1)["suites"][0]["columns"]}
    assert list(columns) == ["DE", "FR", "All"]
    table = open_results(tmp_path / "a")[0].raw["tasks"]
    german = [table[task]["groups"]["de"]["metrics"]["acc_norm"]["value"] for task in tasks]
    assert columns["DE"]["values"][0]["value"] == pytest.approx(sum(german) / 4)
    assert columns["All"]["values"] == [None] and columns["All"]["missing"] == [["EN", "ES", "IT", "NL", "PT"]]


def test_different_prompts_are_said_and_not_compared(write_result: Write, tmp_path: Path) -> None:
    write_result(tmp_path / "a", "choices", "a", {"piqa": 0.4})
    write_result(tmp_path / "b", "choices", "b", {"piqa": 0.6}, prompts="other")
    test = row(compare(models(tmp_path / "a", tmp_path / "b"), 1), "choices", "piqa")["tests"][1]
    assert test["p"] is None and test["verdict"] == "not compared" and test["different_prompts"] == 200


def test_what_makes_results_less_comparable_is_noted(write_result: Write, tmp_path: Path) -> None:
    write_result(tmp_path / "a", "choices", "a", {"piqa": 0.4}, settings={"shots": 0}, judge={"label": "x"})
    write_result(
        tmp_path / "b", "choices", "b", {"piqa": 0.6}, settings={"shots": 5}, complete=False, stopped_by="the judge is gone"
    )  # fmt: skip
    found = compare(models(tmp_path / "a", tmp_path / "b"), 1)
    assert found["suites"][0]["notes"] == [
        "b: incomplete (stopped: the judge is gone)",
        "settings differ: shots: 0 / 5",
        "graded by different judges: x / None",
    ]
    assert found["models"][1]["incomplete"] == ["choices"]


def test_models_with_one_label_are_told_apart_and_doubles_refused(write_result: Write, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_result(tmp_path / name, "choices", "same", {"piqa": 0.4})
    assert [model.name for model in models(tmp_path / "one", tmp_path / "two")] == [
        f"same ({tmp_path / n})" for n in ("one", "two")
    ]
    with pytest.raises(UsageError, match="holds two results of choices on same"):
        models(tmp_path)


def test_suites_that_only_one_has_are_shown(write_result: Write, tmp_path: Path) -> None:
    write_result(tmp_path / "a", "choices", "a", {"piqa": 0.4, "only_a": 0.5})
    write_result(tmp_path / "b", "choices", "b", {"piqa": 0.4})
    write_result(tmp_path / "b", "bose", "b", {"piqa": 0.4})
    found = compare(models(tmp_path / "a", tmp_path / "b"), 1)
    assert [suite["suite"] for suite in found["suites"]] == ["choices", "bose"]
    assert row(found, "choices", "only_a")["values"][1] is None
    assert row(found, "bose", "piqa")["tests"] == [None, None] and found["suites"][1]["results"][0] is None


def test_the_same_seed_gives_the_same_comparison(three: list[Path]) -> None:
    assert compare(models(*three), 7) == compare(models(*three), 7)


def test_grades_of_different_judges_are_not_tested(write_result: Write, tmp_path: Path) -> None:
    for name, judge in (("a", "x"), ("b", "y"), ("c", "x")):
        write_result(tmp_path / name, "mt_bench", name, {"mt_bench.judgements": 0.4}, metric="rating", judge={"label": judge})
    (suite,) = compare(models(*(tmp_path / name for name in "abc")), 1)["suites"]
    for tests in (suite["rows"][0]["tests"], suite["columns"][0]["tests"]):
        _, other, same = tests
        assert other["p"] is None and other["value"] is None and other["verdict"] == "not compared"
        assert other["reason"] == "graded by different judges: y / x"
        assert same["reason"] is None and same["p"] is not None


def test_judges_of_suites_that_are_not_graded_do_not_matter(write_result: Write, tmp_path: Path) -> None:
    for name in "ab":
        write_result(tmp_path / name, "needle", name, {"needle_judge": 0.4, "bits": 0.4}, metric="judge", judge={"label": name})
    found = compare(models(tmp_path / "a", tmp_path / "b"), 1)
    assert row(found, "needle", "needle_judge", "judge")["tests"][1]["p"] is None
    assert row(found, "needle", "bits", "judge")["tests"][1]["p"] is not None


def test_other_tests_under_the_same_prompts_are_refused(write_result: Write, tmp_path: Path) -> None:
    for name, digest in (("a", "1" * 64), ("b", "2" * 64), ("c", "1" * 64)):
        facts = {"tasks": {"humaneval": {"sha256": digest}}}
        write_result(tmp_path / name, "code", name, {"humaneval": 0.4}, metric="pass@1", facts=facts)
    _, other, same = row(compare(models(*(tmp_path / name for name in "abc")), 1), "code", "humaneval", "pass@1")["tests"]
    assert other["p"] is None and other["reason"] == f"the data of humaneval differ (sha256 {'2' * 12} / {'1' * 12})"
    assert same["p"] is not None


def test_languages_have_an_error_as_of_one_language(write_result: Write, tmp_path: Path) -> None:
    write_result(tmp_path / "a", "multilingual", "a", {"arc_multilingual": 0.3}, parts=("de", "fr"), dirty=9)
    result = open_results(tmp_path / "a")[0].raw["tasks"]["arc_multilingual"]
    one = row(compare(models(tmp_path / "a"), 1), "multilingual", "arc_multilingual")
    parts = [part["metrics"]["acc"]["stderr"] for part in result["groups"].values()]
    assert one["values"][0]["stderr"] == pytest.approx(sum(parts) / 2, rel=0.05)
    assert one["values"][0]["stderr"] > 1.2 * result["metrics"]["acc"]["stderr"]
    assert one["values"][0]["value"] == result["metrics"]["acc"]["value"] and one["clean"][0]["stderr"] is None
