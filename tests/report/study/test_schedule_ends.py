"""What the page says of the ends, for every way in which they can turn out."""

from typing import Any

import pytest

from pellucid.report.blocks import Block, Figure, Paragraph, Table
from pellucid.report.study.schedule_ends import schedule_ends


def a_row(
    level: str, mean: float | None, difference: float | None = None, verdict: str = "not compared", **more: Any
) -> dict[str, Any]:
    values = [] if mean is None else [mean, mean + 0.01]
    row = {"level": level, "mean": mean, "values": values, "seeds": [1, 2][: len(values)]}
    if level == "cosine":
        return row
    relative = None if difference is None else difference / 2
    ends = {"relative": relative, "relative_low": relative and relative - 0.001, "relative_high": relative and relative + 0.001}
    return row | {"difference": difference, "p_holm": 0.02, "verdict": verdict, **ends, **more}


def a_claim(verdict: str, relative: float, **more: Any) -> dict[str, Any]:
    ends = {"low": relative - 0.002, "high": relative + 0.002, "of_spread": 2.5}
    place = {"best": "cosine", "worst": "hyb", "length": "2M"}
    return {**place, "relative": relative, **ends, "is_within": relative < 0.01, "verdict": verdict, **more}


def found(*rows: dict[str, Any], claim: dict[str, Any] | None, of_report: dict[str, Any] | None) -> dict[str, Any]:
    finals = [
        {
            "length": length,
            "tokens": tokens,
            "baseline": "cosine",
            "rows": list(rows),
            "spread": 0.005,
            "resolved": 0.003,
            "widest": None,
        }
        for length, tokens in (("1M", 1e6), ("2M", 2e6))
    ]
    return {
        "schedules": [row["level"] for row in rows],
        "kinds": {row["level"]: row["level"] for row in rows},
        "baseline": "cosine",
        "seeds": [1, 2],
        "finals": finals,
        "claim": claim,
        "claim_of_report": of_report,
        "judged_at": ["1M", "2M"],
        "not_turned": [],
    }


def told_of(shown: dict[str, Any]) -> str:
    """The paragraphs; without tokens and differences no figure is drawn."""
    for at in shown["finals"]:
        at["tokens"] = None
        at["rows"] = [{**row, "relative": None} if "relative" in row else row for row in at["rows"]]
    blocks: list[Block] = schedule_ends(shown, "loss")
    assert not any(isinstance(block, Figure) for block in blocks)
    return " ".join(str(part) for block in blocks if isinstance(block, Paragraph) for part in block.parts)


@pytest.mark.parametrize(
    ("verdict", "relative", "told"),
    [
        ("within 1 %", 0.004, "Here that holds, and the intervals of all pairs lie within 1 % too."),
        ("cannot be told", 0.009, "Here that holds of the values as they came; intervals reach beyond 1 %"),
        ("cannot be told", 0.011, "is more than 1 % as it came, but its interval reaches below 1 %."),
        ("beyond 1 %", 0.03, "Here that does not hold"),
    ],
)
def test_the_reports_one_percent_is_said_to_hold_or_not_with_what_it_rests_on(verdict: str, relative: float, told: str) -> None:
    claim = a_claim(verdict, relative)
    page = told_of(found(a_row("cosine", 2.0), a_row("hyb", 2.01, 0.01), claim=claim, of_report=claim))
    assert told in page and "The report prints" in page and "2.5 times the spread over seeds" in page
    assert f"hyb and cosine are farthest apart, at 2M: +{100 * relative:.2f} [" in page and "Of all" not in page


def test_a_wider_pair_outside_of_the_reports_three_is_told_apart_from_its_statement() -> None:
    claims = {"claim": a_claim("beyond 1 %", 0.03, worst="rsqrt"), "of_report": a_claim("within 1 %", 0.004)}
    rows = [a_row("cosine", 2.0), a_row("hyb", 2.01, 0.01), a_row("rsqrt", 2.06, 0.06, "worse")]
    page = told_of(found(*rows, **claims))
    assert "Here that holds" in page and "Of all 3 schedules, rsqrt and cosine are farthest apart" in page
    assert "The report finds rsqrt worse than cosine throughout. Here, of 2 lengths: worse at 2." in page
    rows[2]["verdict"] = "better"
    assert "of 2 lengths: better at 2." in told_of(found(*rows, **claims))
    rows[2]["verdict"] = "not compared"
    assert "of 2 lengths: not compared." in told_of(found(*rows, **claims))


def test_it_is_said_that_a_trunk_is_judged_at_its_longest_length_and_what_did_not_turn() -> None:
    claim = a_claim("within 1 %", 0.004)
    shown = found(a_row("cosine", 2.0), a_row("hyb", 2.01, 0.01), claim=claim, of_report=claim)
    page = told_of(shown)
    assert "judged at" not in page and "before they turn" not in page
    rows = [("hyb", "0.5M", 108, 138.0), ("hyb2", "0.5M", 108, 252.0), ("hyb2", "1M", 216, 252.0)]
    shown |= {
        "judged_at": ["2M"],
        "not_turned": [dict(zip(("schedule", "length", "curve_steps", "turn_step"), row, strict=True)) for row in rows],
    }
    page = told_of(shown)
    assert "This is judged at 2M only." in page
    assert "hyb at 0.5M (step 108 of 138), hyb2 at 0.5M (step 108 of 252) and at 1M (step 216 of 252)." in page
    shown |= {"claim": None, "claim_of_report": None}
    assert "No two schedules have a value at 2M, which is judged." in str(schedule_ends(shown, "loss")[1])


def test_every_value_stands_with_its_interval_and_verdict() -> None:
    rows = [
        a_row("cosine", 2.0),
        a_row("hyb", 1.98, -0.02, "better"),
        a_row("hyb2", None),
        a_row("rsqrt", 2.1, 0.1, "worse", seeds=[2, 3]),
    ]
    blocks = schedule_ends(found(*rows, claim=a_claim("beyond 1 %", 0.03), of_report=None), "loss")
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert [row.kind for row in table.rows] == ["", "told", "", "told"] * 2
    cosine, hyb, hyb2, rsqrt = (row.cells for row in table.rows[:4])
    assert cosine == ("1M", "cosine", "2.0000 · 2.0100", "2.0000", None, None, None, "baseline")
    assert hyb[3:] == ("1.9800", "−0.0200", "−1.00 [−1.10, −0.90]", "0.02", "better")
    assert hyb2[2:6] == (None, "–", "–", "–") and hyb2[7] == "not compared"
    assert rsqrt[2] == "2: 2.1000 · 3: 2.1100"


def test_figures_are_drawn_with_bands_intervals_and_the_baseline() -> None:
    rows = [a_row("cosine", 2.0), a_row("hyb", 2.01, 0.01), a_row("hyb2", None)]
    shown = found(*rows, claim=None, of_report=None)
    ends, differences = (block.drawing for block in schedule_ends(shown, "loss") if isinstance(block, Figure))
    assert ends.columns == ("tokens, millions", "cosine", "cosine, low", "cosine, high", "hyb", "hyb, low", "hyb, high")
    assert ends.rows[0] == pytest.approx((1.0, 2.0, 1.995, 2.005, 2.01, 2.005, 2.015))
    assert differences.rows[0][1:7] == (0.0, None, None, pytest.approx(0.5), pytest.approx(0.4), pytest.approx(0.6))
    assert differences.rows[0][7:] == (None, None, None)


def test_one_length_and_one_schedule_leave_out_what_they_cannot_show() -> None:
    one = found(a_row("cosine", 2.0), claim=None, of_report=None)
    one["finals"] = one["finals"][:1]
    blocks = schedule_ends(one, "loss")
    assert not any(isinstance(block, Figure) for block in blocks)
    assert sum(isinstance(block, Table) for block in blocks) == 1


def test_the_widest_difference_has_its_own_table() -> None:
    shown = found(a_row("cosine", 2.0), a_row("hyb", 2.01, 0.01), claim=None, of_report=None)
    widest = {"best": "cosine", "worst": "hyb", "relative": 0.005, "low": -0.001, "high": 0.011, "p": 0.2, "of_spread": 2.0}
    shown["finals"][1]["widest"] = widest
    table = [block for block in schedule_ends(shown, "loss") if isinstance(block, Table)][1]
    assert [row.cells for row in table.rows] == [("2M", "hyb over cosine", "+0.50 [−0.10, +1.10]", "0.20", "2.0", "0.0050", "0.30")]
