from typing import Any

from pellucid.report.blocks import Note, Table
from pellucid.report.study.continued_effects import causes, final_scores, remedies


def effect(difference: float | None, p: float | None = 0.001) -> dict[str, Any]:
    known = p is not None and difference is not None
    return {
        "difference": difference,
        "low": difference - 0.1 if known and difference is not None else None,
        "high": difference + 0.2 if known and difference is not None else None,
        "p_holm": p,
    }


def contrast(
    cause: str, other: str, dip: dict[str, Any], forgotten: dict[str, Any], new: dict[str, Any], **more: Any
) -> dict[str, Any]:
    row = {"axis": "way", "one": "plain", "other": other, "cause": cause, "also": [], "one_value": None, "other_value": None}
    return {**row, "dip": dip, "forgotten": forgotten, "new_change": new, **more}


def test_a_remedy_that_learns_more_is_shown_as_more_with_its_interval_turned_round() -> None:
    row = contrast("text", "mixture", effect(-0.5), effect(0.02, 0.6), effect(-0.3), also=["replay"])
    _, made, also = remedies({"contrasts": [row]})
    assert isinstance(made, Table)
    assert isinstance(also, Note)
    cells = made.rows[0].cells
    assert cells[2] == "−0.500 [−0.600, −0.300]"
    assert cells[6] == "0.300 [0.100, 0.400]"
    assert cells[1] == "smaller dip, learns more"
    assert also.parts == ("With old text among it, so replay is part of what it does: mixture.",)


def test_what_cannot_be_told_apart_is_said_to_be_so_and_a_single_seed_has_no_interval() -> None:
    row = contrast("replay", "replay-5", effect(-0.5, None), effect(None, None), effect(0.1, 0.4), one_value=0.0, other_value=0.05)
    _, made = causes({"contrasts": [row]})
    assert isinstance(made, Table)
    assert made.rows[0].cells[0] == "share of replay: plain (0) to replay-5 (0.05)"
    assert made.rows[0].cells[1:4] == ("cannot be told apart", "−0.500", "–")


def test_there_is_no_table_of_what_a_study_did_not_vary() -> None:
    assert causes({"contrasts": []}) == remedies({"contrasts": []}) == []


def test_final_scores_stand_beside_their_difference_from_the_plain_way_and_what_cannot_be_told_says_so() -> None:
    rows = [
        {"level": "plain", "mean": 3.0},
        {"level": "low", "mean": 2.5, "difference": -0.5, "low": -0.6, "high": -0.4, "p_holm": 0.001, "verdict": "better"},
        {
            "level": "long",
            "mean": 3.1,
            "difference": 0.1,
            "low": -0.2,
            "high": 0.4,
            "p_holm": 0.5,
            "verdict": "cannot be told apart",
        },
        {"level": "hot", "mean": None, "difference": None, "low": None, "high": None, "p_holm": None, "verdict": "not compared"},
    ]
    _, old, new = final_scores({"baseline": "plain", "effects": {"old_end": {"rows": rows}, "new_end": {"rows": rows[:2]}}})
    assert isinstance(old, Table) and isinstance(new, Table)
    assert [row.cells for row in old.rows] == [
        ("plain", "what others are compared with", "3.000", None, None),
        ("low", "better", "2.500", "−0.500 [−0.600, −0.400]", "0.001"),
        ("long", "cannot be told apart", "3.100", "0.100 [−0.200, 0.400]", "0.50"),
        ("hot", "not compared", None, "–", "–"),
    ]
    nothing = {"rows": [{"level": "plain", "mean": None}]}
    assert final_scores({"baseline": "plain", "effects": {"old_end": nothing, "new_end": nothing}}) == []
