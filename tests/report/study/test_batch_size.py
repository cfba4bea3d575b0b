"""The section on runs whose factors are known: four times the batch, twice the tokens, as the law with B_crit = 8192 says."""

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.study import BatchSizeAnalysis, CompareConfig
from pellucid.report.html import render
from pellucid.report.study.batch_size import batch_size_section
from pellucid.studies.batch_size.analyse import analyse_batch_size
from pellucid.studies.results import Point, RunResult, Scores, Stage

B_CRIT = 8192.0


def run(
    batch: int, seed: int, steps: int, shift: float = 0.0, *, held_out: bool = True, rate: float = 1.0, **more: Any
) -> RunResult:
    """Loss falls by the log of tokens; `shift` is how many per cent more of them this run needs."""
    more_tokens = (1 + batch / B_CRIT) / (1 + 4096 / B_CRIT) * (1 + shift / 100)
    step_K = np.arange(1, steps + 1)
    losses = (9 - np.log1p((step_K - 1) * batch / more_tokens / 4096)).tolist()
    stage = Stage("pretrain", steps, batch, 256, {}, step_K.tolist(), [rate] * steps, losses, [1.0] * steps)
    points = []
    for step in range(10, steps + 1, 10):
        bits = 3 - 0.3 * math.log(step * batch / more_tokens / 4096)
        points.append(Point("pretrain", step, step * batch, {"all": {"all": Scores(bits * math.log(2) * 1000, 1000, 3)}}))
    what = {"stages": (stage,), "points": tuple(points) if held_out else (), "outcome": "done", **more}
    return RunResult(f"{batch}-s{seed}", {"batch": str(batch)}, seed, **what)


def noise(step: int, tokens: float | None, b: int = 4096) -> dict[str, Any]:
    ends = {"low": None, "high": None} if tokens is None else {"low": 0.9 * tokens, "high": 1.1 * tokens}
    square = -0.1 if tokens is None else 500 / tokens
    return {"step": step, "tokens": step * b, "noise_scale_tokens": tokens, "gradient_norm_squared": square, "trace": 500.0, **ends}


def study(**more: Any) -> list[RunResult]:
    shifts = {1: -2.0, 2: 0.0, 3: 3.0}
    base = [run(4096, seed, 100, **more) for seed in shifts]
    return base + [
        run(batch, seed, 100, shifts[seed] * (1 + n), **more) for n, batch in enumerate((8192, 16384)) for seed in shifts
    ]


def found(runs: list[RunResult]) -> dict[str, Any]:
    return analyse_batch_size(runs, BatchSizeAnalysis(), CompareConfig(loss_steps=10))


def page(told: Mapping[str, Any]) -> str:
    return render(batch_size_section(told)).replace("\u202f", " ")


def test_the_page_says_factors_with_intervals_beside_the_printed_ones_and_their_division() -> None:
    told = found(study())
    text = page(told)
    row = told["loss"]["rows"][-1]
    tokens, steps = row["token_factor"], row["step_factor"]
    assert tokens["value"] == pytest.approx(2.0, rel=0.01) and steps["value"] == pytest.approx(2.0, rel=0.01)
    for one in (tokens, steps):
        assert f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" in text
    assert "By training loss, 4 times the batch needed" in text and "the report prints 1.96 and 2" in text
    assert "16.7M (printed)" in text and ">1.96</td>" in text and ">1.92</td>" in text and ">2.08</td>" in text
    assert text.count("(printed)") == 2  # below the first table only
    assert "96 B over 50 B is 1.92" in text and "they are T_i/B_i" in text
    assert "Every step has the same learning rate in all of them" in text
    # Steps, tokens, and the curves of both measures over both.
    assert text.count("<svg") == 6


def test_the_drawn_numbers_are_those_of_the_rows() -> None:
    told = found(study())
    drawn = [block.drawing for block in batch_size_section(told).blocks if type(block).__name__ == "Figure"]
    steps, tokens = drawn[:2]
    assert [row[:2] for row in steps.rows[:3]] == [
        ("training loss, 4096", 4096),
        ("training loss, 8192", 8192),
        ("training loss, 16384", 16384),
    ]
    for number, row in enumerate(told["loss"]["rows"]):
        assert steps.rows[number][2:] == tuple(row["steps"][end] for end in ("value", "low", "high"))
        assert tokens.rows[number][2] == pytest.approx(row["tokens"]["value"] / 1e6)
    assert drawn == [block.drawing for block in batch_size_section(told).blocks if type(block).__name__ == "Figure"]


def test_the_critical_batch_stands_with_its_interval_and_the_noise_scale_beside_it() -> None:
    scales = (noise(50, 4000.0), noise(100, 20_000.0))
    runs = [RunResult(**{**one.__dict__, "noise": scales}) if one.levels["batch"] == "4096" else one for one in study()]
    text = page(found(runs))
    assert "By training loss the critical batch is" in text and "arXiv 1812.06162" in text
    assert "it has a critical batch of 9.48 M tokens; the report chose 8.39 M" in text
    told_words = text.replace("\u00a0", " ")
    assert "gradient noise scale was 4 k [4 k, 4 k] tokens after 50 steps and 20 k [20 k, 20 k] after 100." in told_words
    assert "They are of the same order of magnitude" in text
    assert text.count("<svg") == 7


def test_a_level_that_did_not_get_there_is_shown_as_a_lower_bound_with_its_note() -> None:
    runs = study()
    runs[-1] = run(16384, 3, 20, outcome="stopped")
    text = page(found(runs))
    assert "4 times the batch came to the baseline&#x27;s in 2 of 3 runs" in text
    assert "An open triangle is a lower bound" in text and ">over " in text
    assert "1 of 3 runs of 16384 did not come to the target and stay" in text


def test_it_is_said_between_which_batch_sizes_steps_fall_grow_or_cannot_be_told_apart() -> None:
    text_of = partial(run, held_out=False)
    worse = [text_of(4096, seed, 100) for seed in (1, 2)] + [text_of(16384, seed, 150, shift=130 + seed) for seed in (1, 2)]
    told = found(worse)
    (pair,) = told["loss"]["between"]
    assert pair["ratio"] == pytest.approx(2 / 4 * 2.315, rel=0.02) and pair["verdict"] == "more"
    values = f"{pair['ratio']:.2f} [{pair['low']:.2f}, {pair['high']:.2f}] from 4 096 to 16 384 tokens"
    assert values in page(told) and "more, other than in the report)" in page(told)
    wide = [text_of(4096, seed, 100) for seed in (1, 2)]
    wide += [text_of(batch, seed, 150, shift) for batch in (8192, 9216) for seed, shift in ((1, -15.0), (2, 15.0))]
    first, second = found(wide)["loss"]["between"]
    assert first["verdict"] == "cannot be told apart" and f"(p = {first['p_holm']:.2f}, cannot be told apart)" in page(found(wide))
    # Seeds differ by 30 % and both batches alike: within seeds they are told apart, though intervals overlap.
    least, most = (found(wide)["loss"]["rows"][at]["steps"][end] for at, end in ((1, "low"), (2, "high")))
    assert second["verdict"] == "fewer" and least < most
    assert re.search(r"from 8 192 to 9 216 tokens \(p (= 0\.\d+|&lt; 0\.001), fewer\)", page(found(wide)))
    alone = [text_of(4096, 1, 100), text_of(8192, 1, 100)]
    assert "from 4 096 to 8 192 tokens (how sure is not known)." in page(found(alone))


def test_rates_that_differ_are_told() -> None:
    runs = [run(4096, 1, 100, held_out=False), run(8192, 1, 100, rate=2.0, held_out=False)]
    text = page(found(runs))
    assert "Their learning rates differ, other than in Figure 6" in text and "the rate is the same for all" not in text
    assert "No batch size has two seeds, so there are no intervals." in text


def test_a_critical_batch_beyond_those_tried_is_not_made_up() -> None:
    flat = [run(4096, seed, 100, held_out=False) for seed in (1, 2)]
    for batch in (8192, 16384):
        as_many = 100 * ((1 + 4096 / B_CRIT) / (1 + batch / B_CRIT) - 1)
        flat += [run(batch, seed, 100, as_many + seed / 10, held_out=False) for seed in (1, 2)]
    told = found(flat)
    told["loss"]["law"] |= {"b_crit_tokens": {"value": None, "low": 90_000.0, "high": None}, "side": "above"}
    text = page(told)
    assert "By training loss tokens hardly grow with the batch: the critical batch lies above those that were tried" in text
    assert "it is over 90 k." in text


def test_with_nothing_to_compare_the_notes_say_so() -> None:
    text = page(found([]))
    assert "No run with a level of the axis" in text and "<svg" not in text
    text = page(found([run(4096, 1, 100, outcome="stopped", held_out=False)]))
    assert "nothing is compared" in text
