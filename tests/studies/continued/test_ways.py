from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.continued.gap import curve_of, groups_of, stability_gap
from pellucid.studies.continued.ways import contrasts_of, differs, matched, setting_of, way_rows
from pellucid.studies.effects import Metric
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
CONFIG = ContinuedAnalysis(stage="continue", old=("old.a", "old.b"), new=("new.a", "new.b"))
PLAIN = {"new.a": 0.75, "new.b": 0.25}


def forgotten(run: RunResult) -> float:
    found = curve_of(run, "continue", groups_of([run], CONFIG)[0])
    assert found is not None
    return float(stability_gap(found)["forgotten"])


METRICS: dict[str, Metric] = {"forgotten": forgotten}


def test_a_way_is_read_from_what_the_run_did(make_continued: Make) -> None:
    weights = {"old.a": 1, "old.b": 3, "new.a": 12, "new.b": 4}
    setting = setting_of(make_continued({"way": "x"}, 1, [2, 3], [4, 3], {"peak_lr": 1e-3}, weights), CONFIG)
    assert (setting.peak_lr, setting.warmup_steps, setting.steps, setting.tokens) == (1e-3, 8, 10, 1000)
    assert setting.rate_before == 4e-4
    assert setting.replay_share == pytest.approx(0.2)
    assert setting.text == pytest.approx(PLAIN)


def test_two_ways_differ_in_what_was_set_and_shares_that_are_nearly_the_same_are_the_same(make_continued: Make) -> None:
    def way(schedule: dict[str, Any] | None = None, weights: dict[str, float] | None = None, steps: int = 2) -> RunResult:
        return make_continued({"way": "x"}, 1, [2.0] * steps, [4.0] * steps, schedule, weights or PLAIN)

    plain = setting_of(way(), CONFIG)
    cases = {
        (): way(weights={"new.a": 0.7501, "new.b": 0.2499}),
        ("peak",): way({"peak_lr": 1e-3}),
        ("warm-up",): way({"warmup_steps": 48}),
        ("peak", "warm-up", "shape"): way({"peak_lr": 4e-4, "warmup_steps": 0, "kind": "constant"}),
        ("replay",): way(weights={"old.a": 0.05, "new.a": 0.7125, "new.b": 0.2375}),
        ("text",): way(weights={"new.b": 1.0}),
        ("replay", "text"): way(weights={"old.a": 0.5, "new.b": 0.5}),
        ("length",): way(steps=3),
    }
    for what, run in cases.items():
        assert differs(plain, setting_of(run, CONFIG)) == what


def some_ways(make_continued: Make, effect: dict[str, float], noise: float = 0.0, seeds: int = 3) -> list[RunResult]:
    generator = np.random.default_rng(5)
    ways: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
        "plain": ({}, PLAIN),
        "low": ({"peak_lr": 1e-3}, PLAIN),
        "none": ({"peak_lr": 4e-4, "warmup_steps": 0, "kind": "constant"}, PLAIN),
        "long": ({"warmup_steps": 48}, PLAIN),
        "replay-5": ({}, {"old.a": 0.05, "new.a": 0.7125, "new.b": 0.2375}),
        "replay-25": ({}, {"old.a": 0.25, "new.a": 0.5625, "new.b": 0.1875}),
        "best": ({}, {"new.a": 1.0}),
        "both": ({"peak_lr": 1e-3}, {"new.a": 1.0}),
    }
    runs = []
    for name, (schedule, weights) in ways.items():
        for seed in range(1, seeds + 1):
            start = 2.0 + seed / 10
            end = start + 1.0 + effect.get(name, 0.0) + generator.normal(0, noise)
            runs.append(make_continued({"way": name}, seed, [start, 3.5, end], [4.0, 3.0, 2.5], schedule, weights))
    return runs


def test_levels_are_told_apart_by_family_and_the_first_is_plain(make_continued: Make) -> None:
    rows = {row["level"]: row for row in way_rows(some_ways(make_continued, {}), "way", CONFIG)}
    assert {name: row["family"] for name, row in rows.items()} == {
        "plain": "plain",
        "low": "rate",
        "none": "rate",
        "long": "rate",
        "replay-5": "replay",
        "replay-25": "replay",
        "best": "text",
        "both": "other",
    }
    assert rows["none"]["kind"] == "constant"
    assert rows["replay-25"]["replay_share"] == pytest.approx(0.25)
    assert rows["plain"]["runs"] == 3


def test_contrasts_are_of_single_causes_and_point_from_less_to_more(make_continued: Make) -> None:
    effect = {"low": -0.3, "none": -0.6, "long": 0.02, "replay-5": -0.7, "replay-25": -0.9, "best": 0.1}
    found = contrasts_of(some_ways(make_continued, effect), ["way"], CONFIG, METRICS)
    pairs = {(row["cause"], row["one"], row["other"]): row for row in found}
    assert set(pairs) == {
        ("peak", "low", "plain"),
        ("peak", "both", "best"),
        ("peak", "none", "plain"),
        ("warm-up", "plain", "long"),
        ("replay", "plain", "replay-5"),
        ("replay", "plain", "replay-25"),
        ("replay", "replay-5", "replay-25"),
        ("text", "plain", "best"),
    }
    assert pairs["peak", "none", "plain"]["also"] == ["warm-up", "shape"]
    assert (pairs["peak", "low", "plain"]["one_value"], pairs["peak", "low", "plain"]["other_value"]) == (1e-3, 4e-3)
    for (_, one, other), row in pairs.items():
        assert row["forgotten"]["difference"] == pytest.approx(effect.get(other, 0.0) - effect.get(one, 0.0))


def test_the_interval_of_a_contrast_covers_its_effect_and_p_is_corrected(make_continued: Make) -> None:
    found = contrasts_of(some_ways(make_continued, {"low": -0.3, "replay-5": -0.7}, noise=0.02), ["way"], CONFIG, METRICS)
    rows = {(row["cause"], row["one"], row["other"]): row["forgotten"] for row in found}
    assert rows["peak", "low", "plain"]["low"] < 0.3 < rows["peak", "low", "plain"]["high"]
    assert rows["replay", "plain", "replay-5"]["low"] < -0.7 < rows["replay", "plain", "replay-5"]["high"]
    assert rows["peak", "low", "plain"]["p_holm"] < 0.001
    assert all(row["p_holm"] >= row["p"] for row in rows.values())


def test_separate_axes_give_each_cause_from_runs_that_are_alike_in_all_else(make_continued: Make) -> None:
    runs = []
    for peak in (1e-3, 4e-3):
        for share in (0.0, 0.25):
            for seed in (1, 2):
                weights = {"old.a": share, "new.a": 1 - share}
                end = 3.0 + 100 * peak - share + seed / 100
                levels = {"peak": f"{peak:g}", "replay": f"{share:g}"}
                runs.append(make_continued(levels, seed, [2.0, 3.5, end], [4.0, 3.0, 2.5], {"peak_lr": peak}, weights))
    assert len(matched(runs, "peak", "0.001", "0.004")) == 4
    rows = {row["cause"]: row for row in contrasts_of(runs, ["peak", "replay"], CONFIG, METRICS)}
    assert rows["peak"]["forgotten"]["difference"] == pytest.approx(0.3)
    assert rows["replay"]["forgotten"]["difference"] == pytest.approx(-0.25)
    assert len(rows["replay"]["forgotten"]["paired"]) == 2  # one for each seed


def test_runs_that_did_not_finish_are_compared_with_nothing_and_one_seed_has_no_p(make_continued: Make) -> None:
    runs = [
        make_continued({"way": "plain"}, 1, [2, 3], [4, 3]),
        make_continued({"way": "low"}, 1, [2, 3], [4, 3], {"peak_lr": 1e-3}),
        make_continued({"way": "broken"}, 1, [2, 3], [4, 3], {"peak_lr": 1e-1}, outcome="failed"),
    ]
    (row,) = contrasts_of(runs, ["way"], CONFIG, METRICS)
    assert (row["one"], row["forgotten"]["p"], row["forgotten"]["p_holm"]) == ("low", None, None)
    assert way_rows(runs, "way", CONFIG)[2]["runs"] == 0
