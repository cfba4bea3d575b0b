from collections.abc import Callable
from pathlib import Path

from pellucid.evals.comparing import compare, group_models
from pellucid.evals.disagreements import EXAMPLES
from pellucid.evals.stored import open_results


def test_items_of_which_one_model_is_right_are_shown_with_texts_and_answers(
    write_result: Callable[..., Path], tmp_path: Path
) -> None:
    a = write_result(tmp_path / "a", "choices", "a", {"piqa": 0.4})
    b = write_result(tmp_path / "b", "choices", "b", {"piqa": 0.55})
    models = group_models({str(path): open_results(path) for path in (a, b)})
    (found,) = compare(models, 1)["suites"][0]["disagreements"]
    assert (found["task"], found["metric"], found["model"]) == ("piqa", "acc", 1)
    assert len(found["better"]) == EXAMPLES and 0 <= len(found["worse"]) <= EXAMPLES
    mine, theirs = (model.results["choices"].records["piqa"] for model in (models[1], models[0]))
    for side, expected in (("better", (1.0, 0.0)), ("worse", (0.0, 1.0))):
        for example in found[side]:
            item = example["item"]
            assert (mine[item].scores["acc"], theirs[item].scores["acc"]) == expected
            assert example["text"] == mine[item].text and example["mine"] == {"answer": "B" if expected[0] else "C"}
    assert compare(models, 1)["suites"][0]["disagreements"] == [found]
    assert compare(models, 2)["suites"][0]["disagreements"] != [found], "drawn by the seed"


def test_long_answers_are_cut(write_result: Callable[..., Path], tmp_path: Path) -> None:
    from pellucid.evals.disagreements import _short

    assert _short({"answers": ["x" * 1000], "nats": [1.23456], "n": 3}) == {"answers": ["x" * 600 + "…"], "nats": [1.235], "n": 3}


def test_grades_have_no_right_and_wrong(write_result: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write_result(tmp_path / name, "mt_bench", name, {"mt_bench": 0.5}, metric="grade", items=4) for name in "ab"]
    models = group_models({str(path): open_results(path) for path in paths})
    for model in models:
        for item, record in model.results["mt_bench"].records["mt_bench"].items():
            object.__setattr__(record, "scores", {"grade": 3.0 + int(item) + (model.name == "b")})
    assert compare(models, 1)["suites"][0]["disagreements"] == []


def test_items_that_were_cut_differently_are_no_disagreement(write_result: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write_result(tmp_path / name, "choices", name, {"piqa": shift}) for name, shift in (("a", 0.4), ("b", 0.6))]
    models = group_models({str(path): open_results(path) for path in paths})
    (found,) = compare(models, 1)["suites"][0]["disagreements"]
    shown = {example["item"] for example in found["better"]}
    for item in shown:
        object.__setattr__(models[1].results["choices"].records["piqa"][item], "dropped_tokens", 3)
    (again,) = compare(models, 1)["suites"][0]["disagreements"]
    assert shown and not shown & {example["item"] for example in again["better"]}
