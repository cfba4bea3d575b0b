import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.continued.choices import choice_findings, read_by_both
from pellucid.studies.continued.claims import AGREES, CANNOT, CONTRADICTS
from pellucid.studies.continued.ways import contrasts_of
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult, Scores

Make = Callable[..., RunResult]
NEW = ("new.a", "new.b", "new.c")
SIZES = {"new.a": 6000, "new.b": 4000, "new.c": 2000}
CONFIG = ContinuedAnalysis(stage="continue", old=("old.a", "old.b"), new=NEW)
ALL = {"new.a": 0.5, "new.b": 0.3, "new.c": 0.2}
FEW = {"new.a": 0.7, "new.c": 0.3}
Way = tuple[Mapping[str, float], Mapping[str, list[float]]]
"""Shares, and the final bits per byte of each new source by seed."""


def run_of(make: Make, way: str, seed: int, weights: Mapping[str, float], bits: Mapping[str, float]) -> RunResult:
    table = {"source": {name: Scores(value * math.log(2) * SIZES[name], SIZES[name], 3) for name, value in bits.items()}}
    return make({"way": way}, seed, [2.0, 3.0, 2.5], [4.0, 3.0, 2.5], weights=weights, table=table)


def found_of(make: Make, ways: Mapping[str, Way], back: Mapping[str, list[float]] | None = None) -> dict[str, dict[str, Any]]:
    """Return findings by the last words of their claims and the way, with `back` tokens to recovery by way and seed."""
    runs = [
        run_of(make, way, seed, weights, {name: values[seed] for name, values in bits.items()})
        for way, (weights, bits) in ways.items()
        for seed in range(3)
    ]
    rows = contrasts_of(runs, ["way"], CONFIG, {})
    found = choice_findings(runs, rows, CONFIG, lambda run: (back or {}).get(run.levels["way"], [math.nan] * 3)[run.seed])
    return {one["claim"].removeprefix("the choice of text of "): one for one in found}


PLAIN: Way = (ALL, {"new.a": [2.0, 2.2, 2.1], "new.b": [2.0, 2.1, 2.3], "new.c": [1.9, 2.0, 2.1]})
QUALITY: Way = (FEW, {"new.a": [1.9, 2.11, 1.99], "new.b": [2.8, 2.9, 3.0], "new.c": [1.88, 1.98, 2.08]})


def test_a_way_that_drops_a_source_is_compared_on_those_that_both_read_pooled_by_bytes(make_continued: Make) -> None:
    one = found_of(make_continued, {"plain": PLAIN, "quality": QUALITY})["'quality' learns the new text better"]
    assert one["verdict"] == AGREES
    assert one["printed"] == "theirs is accuracy of domain tasks"
    shared, whole = one["evidence"]
    assert "2 of 3 new sources" in shared["what"]
    plain, quality = (
        [(6000 * a + 2000 * c) / 8000 for a, c in zip(way["new.a"], way["new.c"], strict=True)] for _, way in (PLAIN, QUALITY)
    )
    # With two ways, level + seed is the paired t-test.
    oracle = scipy_part("stats").ttest_rel(plain, quality)
    low, high = oracle.confidence_interval(0.95)
    assert shared["value"] == pytest.approx(0.75 * 0.1 + 0.25 * 0.02)
    assert (shared["low"], shared["high"], shared["p"]) == (pytest.approx(low), pytest.approx(high), pytest.approx(oracle.pvalue))
    # On all new text it is far worse, for what it never read: shown, and not what is asked.
    assert whole["value"] < -0.1
    assert whole["p"] < 0.05


def test_a_choice_that_is_worse_on_what_both_read_contradicts_though_it_is_better_on_all(make_continued: Make) -> None:
    worse: Way = (FEW, {"new.a": [2.1, 2.31, 2.19], "new.b": [1.0, 1.1, 1.3], "new.c": [1.98, 2.08, 2.19]})
    one = found_of(make_continued, {"plain": PLAIN, "worse": worse})["'worse' learns the new text better"]
    assert one["verdict"] == CONTRADICTS
    assert one["evidence"][0]["value"] < 0 < one["evidence"][1]["value"]


def test_where_replay_differs_as_well_nothing_is_told_and_the_evidence_says_why(make_continued: Make) -> None:
    weights = {"old.a": 0.4, **{name: 0.6 * share for name, share in ALL.items()}}
    mixed = {**weights, "new.a": 0.2, "new.b": 0.28}
    back = {"plain": [9000.0, 9100.0, 9050.0], "mixture": [1000.0, 1100.0, 1010.0]}
    better = {name: [value - 0.3 - seed / 1000 for seed, value in enumerate(values)] for name, values in PLAIN[1].items()}
    found = found_of(make_continued, {"plain": PLAIN, "mixture": (mixed, better)}, back)
    assert len(found) == 2
    for one in found.values():
        assert one["verdict"] == CANNOT
        (row,) = one["evidence"]
        assert row["p"] < 0.01
        assert "40 % of its tokens are old text, 0 % of plain's, so it reads less new text" in row["what"]


def test_ways_without_a_source_in_common_are_not_compared(make_continued: Make) -> None:
    ways: dict[str, Way] = {"plain": ({"new.b": 1.0}, PLAIN[1]), "other": (FEW, QUALITY[1])}
    one = found_of(make_continued, ways)["'other' learns the new text better"]
    assert one["verdict"] == CANNOT
    assert [row["value"] is None for row in one["evidence"]] == [True, False]
    runs = [run_of(make_continued, way, 1, weights, {}) for way, (weights, _) in {**ways, "all": PLAIN}.items()]
    row = {"axis": "way", "one": "other"}
    assert read_by_both(runs, {**row, "other": "plain"}, CONFIG) == ()
    assert read_by_both(runs, {**row, "other": "all"}, CONFIG) == ("new.a", "new.c")


@pytest.mark.parametrize(
    ("plain", "verdict", "words"),
    [
        ([9000.0, 9100.0, 9050.0], AGREES, "3 of 3 and 3 of 3 runs come back"),
        ([500.0, 400.0, 450.0], CONTRADICTS, "3 of 3 and 3 of 3 runs come back"),
        # A run that is not back yet takes longer than is known.
        ([9000.0, math.nan, 9050.0], CANNOT, "3 of 3 and 2 of 3 runs come back"),
    ],
)
def test_a_choice_recovers_faster_by_the_tokens_where_all_runs_come_back(
    make_continued: Make, plain: list[float], verdict: str, words: str
) -> None:
    back = {"plain": plain, "quality": [1000.0, 1100.0, 1010.0]}
    one = found_of(make_continued, {"plain": PLAIN, "quality": QUALITY}, back)["'quality' recovers faster"]
    assert one["verdict"] == verdict
    (row,) = one["evidence"]
    assert words in row["what"]
    assert (row["unit"], row["value"] is None) == ("tokens", verdict == CANNOT)


def test_of_three_choices_that_do_nothing_one_is_told_in_no_more_studies_than_a_corrected_test_allows(make_continued: Make) -> None:
    generator, alarms = np.random.default_rng(6), 0
    shares = {"plain": ALL, "one": FEW, "two": {"new.a": 1.0}, "three": {"new.b": 0.5, "new.c": 0.5}}
    for _ in range(60):
        seeds = generator.normal(0, 0.2, 3)
        ways: dict[str, Way] = {
            way: (weights, {name: (2.0 + seeds + generator.normal(0, 0.02, 3)).tolist() for name in NEW})
            for way, weights in shares.items()
        }
        alarms += any(one["verdict"] != CANNOT for one in found_of(make_continued, ways).values())
    # 3 of 60 expected at most; 9 or more with p < 0.005.
    assert alarms < 9
