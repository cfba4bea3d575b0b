from typing import get_args

from pellucid.recipe.study import CompareConfig
from pellucid.report.study.metrics import METRICS


def test_every_metric_that_a_study_may_ask_for_has_words() -> None:
    assert set(METRICS) == set(get_args(CompareConfig.model_fields["metric"].annotation))
