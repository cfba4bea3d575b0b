import pytest

from pellucid.report.titles import chosen_metric, metric_title, suite_title, task_title


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("acc", "accuracy"),
        ("acc_norm,none", "accuracy, per character"),
        ("exact_match,strict-match", "exact match (strict-match)"),
        ("prefers_right_error", "the right way on is the likelier one, after an error"),
        ("final_right_error_trigger", "final answer right, after an error, with a trigger"),
        ("some_new_figure", "some new figure"),
    ],
)
def test_metrics_are_named_in_words(metric: str, title: str) -> None:
    assert metric_title(metric) == title


def test_suites_and_tasks_are_named_in_words() -> None:
    assert suite_title("reflection") == "Recovery from a planted error" and suite_title("my_suite") == "My suite"
    assert task_title("arc_challenge") == "ARC-C" and task_title("heldout_choices") == "heldout choices"


def test_the_metric_that_stands_for_a_task_is_a_share_of_which_more_is_better() -> None:
    reflection = ["margin_nats_error", "margin_nats_right", "prefers_right_error", "prefers_right_right"]
    assert chosen_metric(reflection) == "prefers_right_error"
    assert chosen_metric(["agreement", "nats_per_token"]) == "nats_per_token"
    assert chosen_metric(["odd"]) == "odd" and chosen_metric([]) is None
