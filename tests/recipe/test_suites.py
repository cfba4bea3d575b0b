from typing import get_args

import pytest
from pydantic import ValidationError

from pellucid.evals.suites import SUITES
from pellucid.recipe.suites import EndpointConfig, SuiteName, SuitesConfig


def test_every_suite_has_its_settings() -> None:
    assert {suite.config for suite in SUITES.values()} | {"endpoint", "judge"} == set(SuitesConfig.model_fields)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="depth"):
        SuitesConfig.model_validate({"needle": {"depth": 3}})


def test_prices_of_an_endpoint_go_together() -> None:
    with pytest.raises(ValidationError, match="give both or neither"):
        EndpointConfig(url="http://127.0.0.1:8080", usd_per_million_prompt_tokens=1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"needle": "It is red."}, "question and answer not given"),
        ({"needle": "It is red.", "question": "What?", "answer": ["red"], "distractors": 2}, "distractors is 2"),
        ({"lengths": [500, 500]}, r"lengths has \[500, 500\]"),
        ({"lengths": []}, "at least 1 item"),
    ],
)
def test_a_needle_that_cannot_be_hidden_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SuitesConfig.model_validate({"needle": settings})


def test_a_recipe_may_name_every_suite_but_the_one_that_only_runs_programs() -> None:
    assert set(get_args(SuiteName)) == set(SUITES) - {"code"}
