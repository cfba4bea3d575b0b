import pytest

from pellucid.core.scores import format_difference, format_p, format_value, higher_is_better, item_counts, lower_is_better, unit_of


@pytest.mark.parametrize(
    ("metric", "values", "unit", "lower"),
    [
        ("acc_norm", [0.25, 0.3, None], "percent", False),
        ("exact_match,strict-match", [0.0, 1.0], "percent", False),
        ("bits_per_byte", [0.9], "number", True),
        ("word_perplexity", [0.99], "number", True),
        ("nats of perplexity", [2.0], "number", True),
        ("nats_per_token", [0.5], "number", True),
        ("token_perplexity", [9.0], "number", True),
        ("margin_nats_right", [-1.3], "number", False),
        ("prefers_right_error", [0.45], "percent", False),
        ("rating", [1.0], "number", False),
        ("score", [6.5, 0.5], "number", False),
        ("pass@1", [], "percent", False),
        ("recall", [0.5], "percent", False),
        ("f1", [0.5], "percent", False),
        ("f1", [50.0], "number", False),
        ("carried_on_error", [0.5], "percent", True),
        ("form_decides", [0.5], "percent", False),
        ("ter", [0.5], "number", True),
        ("wer", [0.5], "number", True),
        ("terseness", [0.5], "number", False),
        ("embedding_distance", [0.5], "number", False),
        ("accuracy_of_timing_s", [0.5], "number", False),
    ],
)
def test_shares_are_percent_and_surprise_is_better_low(metric: str, values: list[float], unit: str, lower: bool) -> None:
    assert unit_of(metric, values) == unit and lower_is_better(metric) is lower


def test_values_have_their_error_where_it_is_known() -> None:
    assert format_value({"value": 0.4332, "stderr": 0.01448}, "percent") == "43.3 ± 1.4"
    assert format_value({"value": 0.4332, "stderr": 0.01448}, "percent", error=False) == "43.3"
    assert format_value({"value": 0.9121, "stderr": None}, "number") == "0.912"
    assert format_value(None, "number") == format_value({"value": None}, "percent") == "–"


def test_differences_show_signs_and_intervals() -> None:
    assert format_difference({"value": 0.012, "low": -0.003, "high": 0.027}, "percent") == "+1.2 [−0.3, +2.7]"
    assert format_difference({"value": -0.00001, "low": None, "high": None}, "percent") == "0.0"
    assert format_difference(None, "percent") == "–"


def test_p_is_short_and_never_nought() -> None:
    assert [format_p(p) for p in (None, 0.00004, 0.0123, 0.456, 1.0)] == ["–", "< 0.001", "0.012", "0.46", "1.00"]


def test_of_unknown_metrics_neither_more_nor_less_is_better() -> None:
    for metric in ("acc", "exact_match,none", "pass@10", "rating", "rouge1_max", "final_right_error", "mc2"):
        assert higher_is_better(metric) and not lower_is_better(metric), metric
    for metric in ("bits_per_byte", "word_perplexity", "wer", "carried_on_right"):
        assert lower_is_better(metric) and not higher_is_better(metric), metric
    for metric in ("form_decides", "speaks_of_error_right", "score", "seconds", "agreement"):
        assert not lower_is_better(metric) and not higher_is_better(metric), metric


def test_item_counts_are_those_of_each_model_where_they_differ() -> None:
    assert item_counts([{"items": 9}, None, {"items": 9}]) == "9" and item_counts([None]) == "–"
    assert item_counts([{"items": 9}, None, {"items": 4}]) == "9 / – / 4"
