from typing import Any

from pellucid.report.blocks import Figure, Paragraph, Table
from pellucid.report.study.noise import noise_blocks


def row(level: str, step: int, scale: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    ends = {"noise_scale_tokens": scale, "low": low, "high": high, "gradient_norm_squared": 0.05, "trace": 600.0}
    return {"level": level, "step": step, "tokens": step * 4096, "runs": 3, **ends, "values": []}


def beside(rows: list[dict[str, Any]], ratio: float | None, same: bool | None) -> dict[str, Any]:
    b_crit = None if ratio is None else {"value": 9000.0, "low": 7000.0, "high": 12_000.0}
    ends = {"first": rows[0], "last": rows[-1], "least": rows[0], "greatest": rows[-1], "mean_tokens": 1.0}
    return {"level": "4096", **ends, "b_crit_tokens": b_crit, "ratio": ratio, "mean_ratio": ratio, "same_order": same}


def test_the_noise_scale_is_drawn_with_bands_and_the_critical_batch_through_it() -> None:
    rows = [row("4096", 100, 5000.0, 4000.0, 7000.0), row("4096", 300, 60_000.0, 50_000.0, 70_000.0), row("8192", 100, 9000.0)]
    blocks = noise_blocks({"rows": rows, "baseline": beside(rows[:2], 60 / 9, True)})
    (drawn,) = [block for block in blocks if isinstance(block, Figure)]
    assert drawn.drawing.columns == (
        *("tokens, millions", "4096 tokens", "4096 tokens, low", "4096 tokens, high", "8192 tokens"),
        *("critical batch", "critical batch, low", "critical batch, high"),
    )
    assert drawn.drawing.rows[0] == (0.4096, 5.0, 4.0, 7.0, 9.0, 9.0, 7.0, 12.0)
    (said,) = [block for block in blocks if isinstance(block, Paragraph)]
    assert "60 k [50 k, 70 k] after 300" in str(said.parts[0]).replace("\u00a0", " ") and "6.67 times as large" in str(said.parts)
    assert "They are of the same order of magnitude" in str(said.parts)


def test_a_batch_size_with_one_checkpoint_is_a_dot_with_its_interval_and_the_caption_says_so() -> None:
    lines = [row("4096", 100, 5000.0, 4000.0, 7000.0), row("4096", 300, 6000.0, 5000.0, 7000.0)]
    alone = [row("8192", 250, 9000.0, 6000.0, 12_000.0), row("16384", 100, None)]
    (without,), (drawn,) = (
        [block for block in noise_blocks({"rows": rows, "baseline": None}) if isinstance(block, Figure)]
        for rows in (lines, [*lines, *alone])
    )
    assert (
        "dot" not in without.caption and "a dot, with its interval as a bar, is a batch size with one checkpoint" in drawn.caption
    )
    assert drawn.drawing.columns[4:] == ("8192 tokens", "8192 tokens, low", "8192 tokens, high")
    assert (1.024, None, None, None, 9.0, 6.0, 12.0) in drawn.drawing.rows
    # Alone it makes no figure: the table has it.
    assert not any(isinstance(block, Figure) for block in noise_blocks({"rows": alone, "baseline": None}))


def test_another_order_of_magnitude_is_printed_as_it_is() -> None:
    rows = [row("4096", 100, 500.0), row("4096", 300, 500.0)]
    said = str(noise_blocks({"rows": rows, "baseline": beside(rows, 0.05, False)})[1])
    assert "They are not of the same order of magnitude" in said


def test_what_is_lost_in_noise_is_said_and_without_a_law_there_is_nothing_beside_it() -> None:
    rows = [row("4096", 100, 5000.0, 4000.0, None), row("4096", 300, None)]
    blocks = noise_blocks({"rows": rows, "baseline": beside(rows[:1], None, None)})
    (shown,) = [block for block in blocks if isinstance(block, Table)]
    assert [line.cells[4] for line in shown.rows] == ["5\u00a0k [4\u00a0k, open]", "lost in noise"]
    assert "There is no critical batch to compare it with." in str(blocks[1])
    assert not any(isinstance(block, Figure) for block in blocks)
    assert noise_blocks(None) == []
    assert isinstance(noise_blocks({"rows": rows, "baseline": None})[1], Table)
