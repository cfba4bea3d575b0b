"""Classes worked out by hand from the table of the framework."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.release.account import Account
from pellucid.release.openness import Component, classify, framework, openness
from pellucid.release.packages import Closure
from pellucid.release.selection import Selection
from pellucid.release.sources import ReleasedSource

ALL = [row["id"] for row in framework()["components"]]
CLASS_III = {"architecture", "final_parameters", "model_card", "data_card", "technical_report", "evaluation_results"}
CLASS_II = {"training_code", "inference_code", "evaluation_code", "evaluation_data"}
CLASS_I = {"paper", "datasets", "preprocessing_code", "intermediate_parameters"}


def components(present: set[str], closed: set[str] = frozenset()) -> list[Component]:  # type: ignore[assignment]
    return [
        Component(
            row["id"], row["name"], row["class"], row["kind"], row["required"], row["id"] in present, "", "X",
            row["id"] in present - closed,
        )
        for row in framework()["components"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("present", "closed", "reached"),
    [
        (set(), set(), None),
        (CLASS_III - {"technical_report"}, set(), None),
        (CLASS_III - {"technical_report"} | {"paper"}, set(), 3),
        (CLASS_III - {"technical_report"} | {"paper"}, {"paper"}, None),
        (CLASS_III | {"paper"}, {"technical_report"}, 3),
        (CLASS_III - {"model_card"} | {"paper"}, set(), None),
        ((CLASS_III | CLASS_II | CLASS_I) - {"technical_report"}, set(), 1),
        ((CLASS_III | CLASS_II | CLASS_I) - {"technical_report", "paper"}, set(), None),
        (CLASS_III, set(), 3),
        (CLASS_III, {"final_parameters"}, None),
        (CLASS_III | CLASS_I, set(), 3),
        (CLASS_III | CLASS_II - {"evaluation_data"}, set(), 3),
        (CLASS_III | CLASS_II, set(), 2),
        (CLASS_III | CLASS_II | CLASS_I - {"datasets"}, set(), 2),
        (CLASS_III | CLASS_II | CLASS_I - {"paper"}, set(), 2),
        (CLASS_III | CLASS_II | CLASS_I, {"datasets"}, 2),
        (CLASS_III | CLASS_II | CLASS_I, set(), 1),
        (set(ALL), {"sample_outputs", "libraries", "metadata"}, 1),
    ],
)
def test_a_class_needs_all_that_it_and_those_below_require(present: set[str], closed: set[str], reached: int | None) -> None:
    assert classify(components(present, closed))["class"] == reached


def test_the_table_has_the_seventeen_components_and_the_optional_three() -> None:
    rows = framework()["components"]
    assert len(rows) == 17
    assert {row["id"] for row in rows if not row["required"]} == {"sample_outputs", "libraries", "metadata"}
    assert {row["id"] for row in rows if row["required"]} == CLASS_III | CLASS_II | CLASS_I


def test_what_the_next_class_lacks_is_named() -> None:
    told = classify(components(CLASS_III | CLASS_II | {"preprocessing_code"}))
    assert (told["class_name"], told["next_class_name"]) == ("Class II - Open Tooling Model", "Class I - Open Science Model")
    assert {one["component"] for one in told["missing_for_next"]} == {
        "Research paper",
        "Datasets",
        "Model parameters (Intermediate)",
    }
    assert classify(components(set(ALL)))["missing_for_next"] == []


def by_id(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in told["components"]}


def lacks(told: dict[str, Any]) -> dict[str, str]:
    return {one["component"]: one["why"] for one in told["missing_for_next"]}


def test_the_smoke_run_lacks_a_paper_for_class_one_and_nothing_else(account: Account, closure: Closure) -> None:
    told = openness(account, closure, code=True)
    assert told["class"] == 2 and lacks(told).keys() == {"Research paper"}
    assert by_id(told)["evaluation_data"]["licence"].startswith("BSD-3-Clause")


def test_with_an_open_paper_it_is_open_science(account_of: Callable[..., Account], finished_run: Path, closure: Closure) -> None:
    paper = {"paper": "https://example.org/paper", "paper_licence": "CC-BY-4.0"}
    assert openness(account_of(finished_run, licence="Apache-2.0", **paper), closure, code=True)["class"] == 1
    closed = openness(
        account_of(finished_run, licence="Apache-2.0", **paper | {"paper_licence": "CC-BY-NC-4.0"}), closure, code=True
    )
    assert closed["class"] == 2 and lacks(closed) == {"Research paper": "is under CC-BY-NC-4.0, which is not open for document"}


def test_without_a_licence_nothing_is_open_and_the_fix_is_told(
    account_of: Callable[..., Account], finished_run: Path, closure: Closure
) -> None:
    told = openness(account_of(finished_run), closure, code=True)
    assert told["class"] is None and told["class_name"] == "Unclassified"
    assert "release.licence" in lacks(told)["Model parameters (Final)"]
    assert by_id(told)["architecture"]["open"], "the code has a licence of its own"


def test_without_documents_it_is_not_class_one_and_without_code_not_class_two(
    account_of: Callable[..., Account], finished_run: Path, closure: Closure
) -> None:
    options = {"licence": "Apache-2.0", "paper": "https://example.org/p", "paper_licence": "CC-BY-4.0"}
    told = openness(account_of(finished_run, without=("documents",), **options), closure, code=True)
    assert told["class"] == 3, "held-out documents are the evaluation data"
    assert "chatterbot.en is left out" in lacks(told)["Evaluation data"]
    assert not by_id(told)["datasets"]["present"]
    assert openness(account_of(finished_run, **options), closure, code=False)["class"] is None


def test_a_source_for_non_commercial_use_is_named(account: Account, closure: Closure) -> None:
    closed = ReleasedSource("fables", ("documents/fables", "shards/fables"), {"CC-BY-NC-4.0": 3, "MIT": 9}, ())
    files = account.selection.files | {"documents/fables/train/0.parquet": None}
    limited = Account(account.run, account.recipe, [*account.sources, closed], Selection(files, account.selection.left_out))
    told = openness(limited, closure, code=True)
    assert told["class"] == 3
    assert by_id(told)["datasets"]["remark"] == "fables is for non-commercial use only (CC-BY-NC-4.0)"
    assert lacks(told)["Evaluation data"] == "fables is for non-commercial use only (CC-BY-NC-4.0)"


def test_a_model_that_began_from_another_lacks_the_data_of_that(account: Account, closure: Closure) -> None:
    first, *rest = account.recipe.train
    recipe = account.recipe.model_copy(update={"train": (first.model_copy(update={"init_from": "models/base.gguf"}), *rest)})
    begun = Account(account.run, recipe, account.sources, account.selection)
    told = openness(begun, closure, code=True)
    assert told["class"] == 2
    assert lacks(told)["Datasets"] == "what base.gguf, from which training began, was trained on is not in the release"


def test_checkpoints_before_the_last_are_the_intermediate_parameters(
    account_of: Callable[..., Account], finished_run: Path, closure: Closure
) -> None:
    found = by_id(openness(account_of(finished_run, checkpoints="none", licence="MIT"), closure, code=True))
    assert not found["intermediate_parameters"]["present"] and found["final_parameters"]["present"]
    found = by_id(openness(account_of(finished_run, checkpoints="all", licence="MIT"), closure, code=True))
    assert "pretrain/checkpoints/step-00000020" in found["intermediate_parameters"]["where"]
