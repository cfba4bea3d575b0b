"""The law's part of the page: forecasts against what came, errors, parameters, and what could not be fitted."""

from typing import Any

from pellucid.report.blocks import Block, Details, Figure, Note, Paragraph, Table
from pellucid.report.study.mixes_law import law_blocks


def forecast(**more: Any) -> dict[str, Any]:
    law = {"value": 2.1, "low": 2.0, "high": 2.2}
    peers = {"linear": 2.3, "nearest": ["mix1", "mix3"], "neighbours": 2.2, "mean": 2.5}
    return {"level": "mix2", "runs": 3, "came": 2.15, "note": None, "law": law, "inside": True, **peers} | more


def group(name: str, *forecasts: dict[str, Any], **more: Any) -> dict[str, Any]:
    errors = {"law": 0.01, "linear": 0.02, "mean": 0.03, "count": 15}
    fitted = {"by": "kind", "domains": ["English", "Code"], "mixes": 5, "runs": 15, "parameters": 4, "c": 1.0, "k": 0.5}
    told = {"t": {"English": -0.25, "Code": 1.5}, "residual": 0.004, "left_out_run": errors, "left_out_mix": errors, "note": None}
    return {"kind": "language", "group": name, **fitted, **told, "forecasts": list(forecasts), **more}


def law(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    summary = {
        "count": 2,
        "inside": 1,
        "with_interval": 2,
        "above": 2,
        "law": 0.05,
        "linear": 0.15,
        "neighbours": 0.04,
        "mean": 0.35,
    }
    told = {"fitted": ["control", "mix1"], "forecast": ["mix2"], "groups": list(groups), "summary": summary, "notes": []}
    return told | more


def flat(blocks: list[Block]) -> list[Block]:
    return [inner for block in blocks for inner in (block.blocks if isinstance(block, Details) else (block,))]


def tables(blocks: list[Block]) -> list[Table]:
    return [block for block in flat(blocks) if isinstance(block, Table)]


def words(blocks: list[Block]) -> str:
    return " ".join(str(part) for block in flat(blocks) if isinstance(block, Paragraph | Note) for part in block.parts)


def test_a_forecast_stands_beside_what_came_and_the_two_peers_and_misses_are_set_apart() -> None:
    miss = forecast(came=2.4, inside=False)
    blocks = law_blocks(law(group("de", forecast()), group("fr", miss)))
    forecasts, errors, parameters = tables(blocks)
    assert forecasts.rows[0].cells == ("de (language)", "2.100 [2.000, 2.200]", "2.150", "inside", "2.300", "2.200", "2.500")
    assert (forecasts.rows[1].cells[3], forecasts.rows[1].kind, forecasts.rows[0].kind) == ("outside", "told", "")
    assert errors.rows[0].cells[:5] == ("de (language)", "15", "0.010", "0.020", "0.030")
    assert parameters.rows[0].cells[2] == "4 of 5 mixes, 15 runs"
    assert parameters.rows[0].cells[-1] == "English −0.25, Code +1.50"
    assert "1 of 2 lie inside the interval" in words(blocks) and "law 0.050, linear 0.150, the nearest two 0.040" in words(blocks)
    assert "2 of 2 came above the forecast" in words(blocks) and "Nearest: mix1 and mix3." in forecasts.caption
    assert "the law is nearer than the mean of the others in 2 of 2 groups" in words(blocks)
    [drawn] = [block for block in flat(blocks) if isinstance(block, Figure)]
    assert drawn.drawing.rows[1] == ("fr (language)", 2.1, 2.0, 2.2, 2.4, None, None)


def test_what_cannot_be_forecast_or_fitted_says_why() -> None:
    blocks = law_blocks(
        law(
            group("de", forecast(law=None, inside=None, linear=None, note="no forecast: it changes more")),
            group("fr", note="no law: 2 mixes", forecasts=[]),
            summary={
                "count": 0,
                "inside": 0,
                "with_interval": 0,
                "above": 0,
                **dict.fromkeys(("law", "linear", "neighbours", "mean")),
            },
            notes=["mix5 was to be forecast and has no run."],
        )
    )
    assert tables(blocks)[0].rows[0].cells == (
        "de (language)",
        None,
        "2.150",
        "no forecast: it changes more",
        "–",
        "2.200",
        "2.500",
    )
    assert not any(isinstance(block, Figure) for block in flat(blocks))
    assert "fr (language): no law: 2 mixes." in words(blocks) and "mix5 was to be forecast" in words(blocks)
    assert [row.cells[0] for row in tables(blocks)[1].rows] == ["de (language)"]


def test_a_law_that_runs_away_has_no_figure() -> None:
    away = {"law": 2.5e31, "linear": 0.02, "mean": 0.03, "count": 5}
    blocks = law_blocks(law(group("de", forecast(), left_out_mix=away)))
    assert tables(blocks)[1].rows[0].cells[5:] == ("5", "diverges", "0.020", "0.030")
    assert "in 0 of 1 groups" in words(blocks)


def test_without_a_law_or_without_groups_there_is_no_table() -> None:
    assert law_blocks(None) == []
    blocks = law_blocks(law(summary=None, notes=["Sources are not known."]))
    assert tables(blocks) == [] and "Sources are not known." in words(blocks)
