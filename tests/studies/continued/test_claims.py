from typing import Any

import pytest

from pellucid.studies.continued.claims import AGREES, CANNOT, CONTRADICTS, against, directed, evidence_of, more


def effect(difference: float | None, p: float | None) -> dict[str, Any]:
    return {"difference": difference, "low": None, "high": None, "p_holm": p}


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ([effect(0.2, 0.01), effect(0.1, 0.6)], AGREES),
        ([effect(0.2, 0.01), effect(-0.1, 0.04)], CONTRADICTS),
        ([effect(0.2, 0.01), effect(-0.1, 0.06)], AGREES),
        ([effect(0.2, 0.06), effect(None, None)], CANNOT),
        ([], CANNOT),
    ],
)
def test_one_difference_told_to_be_the_other_way_contradicts_and_what_is_not_told_says_nothing(
    effects: list[dict[str, Any]], verdict: str
) -> None:
    assert directed(effects, 1) == verdict
    turned = [effect(None if one["difference"] is None else -one["difference"], one["p_holm"]) for one in effects]
    assert directed(turned, -1) == verdict


def test_more_learnt_is_less_of_a_score_with_its_interval_turned_round() -> None:
    turned = more({"difference": -0.3, "low": -0.5, "high": 0.1, "p_holm": 0.2})
    assert turned == {"difference": 0.3, "low": -0.1, "high": 0.5, "p_holm": 0.2}
    assert more(effect(-0.3, None)) == effect(0.3, None)
    assert more(effect(None, None)) == effect(None, None)


def test_evidence_of_a_difference_is_the_difference_and_not_the_mean_of_the_level() -> None:
    row = {"mean": 2.1, "difference": -0.1, "low": -0.2, "high": 0.0, "p_holm": 0.05}
    assert evidence_of("x", row)["value"] == -0.1
    share = evidence_of("x", {"mean": 2.1, "low": None, "high": None}, "share")
    assert share == {"what": "x", "value": 2.1, "low": None, "high": None, "p": None, "unit": "share"}


def test_what_differs_besides_is_named() -> None:
    row: dict[str, Any] = {"one": "plain", "other": "low"}
    assert against(row | {"also": []}) == "low against plain"
    assert against(row | {"also": ["shape"]}) == "low against plain (shape differs too)"
    assert against(row | {"also": ["warm-up", "shape"]}) == "low against plain (warm-up and shape differ too)"
