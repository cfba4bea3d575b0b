from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.study import CompareConfig, ContinuedAnalysis
from pellucid.studies.continued.analyse import analyse_continued
from pellucid.studies.continued.claims import AGREES, CANNOT, CONTRADICTS, NOT_COMPARABLE
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
CONFIG = ContinuedAnalysis(stage="continue", old=("old.a", "old.b"), new=("new.a", "new.b"))
PLAIN = {"new.a": 0.75, "new.b": 0.25}
Way = tuple[Mapping[str, Any], Mapping[str, float], tuple[float, float, float, float]]
"""Schedule, weights, and: worst and end of old text above its start, and dip and end of new text below its start."""


@pytest.fixture
def verdicts(make_continued: Make) -> Callable[..., dict[str, str]]:
    """Return the verdicts by claim of a study with these ways, with a little noise."""

    def told(ways: Mapping[str, Way], noise: float = 0.004, seeds: int = 3, new_start: float = 2.5) -> dict[str, str]:
        generator, runs = np.random.default_rng(7), []
        for name, (schedule, weights, (worst, end, new_dip, learnt)) in ways.items():
            for seed in range(1, seeds + 1):
                jitter = generator.normal(0, noise, 7)
                old = 2.0 + seed / 20 + np.array([0, worst / 2, worst, (worst + end) / 2, end]) + np.array([0, *jitter[:4]])
                new = new_start + seed / 20 + np.array([0, new_dip, -learnt / 2, -learnt, -learnt]) + np.array([0, *jitter[3:7]])
                runs.append(make_continued({"way": name}, seed, old.tolist(), new.tolist(), schedule, weights))
        found = analyse_continued(runs, CONFIG, CompareConfig())
        return {one["claim"]: one["verdict"] for one in found["findings"]}

    return told


def of(verdicts: Mapping[str, str], *words: str) -> str:
    (found,) = [verdict for claim, verdict in verdicts.items() if all(word in claim for word in words)]
    return found


def test_a_fall_and_a_way_back_agree_a_fall_for_good_contradicts_and_noise_tells_nothing(
    verdicts: Callable[..., dict[str, str]],
) -> None:
    assert of(verdicts({"plain": ({}, PLAIN, (1.0, 0.5, -0.2, 1.5))}), "old text falls back") == AGREES
    assert of(verdicts({"plain": ({}, PLAIN, (1.0, 1.2, -0.2, 1.5))}), "old text falls back") == CONTRADICTS
    assert of(verdicts({"plain": ({}, PLAIN, (-0.2, -0.5, -0.2, 1.5))}), "old text falls back") == CONTRADICTS
    assert of(verdicts({"plain": ({}, PLAIN, (0.3, 0.2, -0.2, 1.5))}, noise=0.3), "old text falls back") == CANNOT
    assert of(verdicts({"plain": ({}, PLAIN, (1.0, 0.5, 0.3, 1.5))}), "makes the new text worse") == AGREES
    assert of(verdicts({"plain": ({}, PLAIN, (1.0, 0.5, -0.3, 1.5))}), "makes the new text worse") == CONTRADICTS


def test_new_text_that_is_far_from_the_old_is_not_comparable_whether_it_falls_or_not(
    verdicts: Callable[..., dict[str, str]],
) -> None:
    for new_dip, near in ((0.3, AGREES), (-0.3, CONTRADICTS)):
        ways = {"plain": ({}, PLAIN, (1.0, 0.5, new_dip, 1.0))}
        # Old text starts at 2.1 on average, and new text at 0.1 above what is given.
        assert of(verdicts(ways, new_start=3.0), "makes the new text worse") == near
        assert of(verdicts(ways, new_start=3.1), "makes the new text worse") == NOT_COMPARABLE


def test_what_is_not_comparable_shows_both_starts(make_continued: Make) -> None:
    runs = [make_continued({"way": "plain"}, seed, [2.0, 3.0, 2.5], [4.5, 3.0, 2.5]) for seed in (1, 2)]
    findings = analyse_continued(runs, CONFIG, CompareConfig())["findings"]
    (one,) = [one for one in findings if one["verdict"] == NOT_COMPARABLE]
    assert [row["value"] for row in one["evidence"]] == [pytest.approx(4.5), pytest.approx(2.0), pytest.approx(-1.5)]


def test_a_higher_peak_may_forget_more_and_learn_more_or_the_other_way_round(verdicts: Callable[..., dict[str, str]]) -> None:
    low = {"peak_lr": 1e-3}
    found = verdicts({"plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5)), "low": (low, PLAIN, (0.5, 0.4, -0.1, 1.1))})
    assert (of(found, "higher peak forgets"), of(found, "higher peak learns")) == (AGREES, AGREES)
    found = verdicts({"plain": ({}, PLAIN, (1.2, 0.3, -0.1, 1.1)), "low": (low, PLAIN, (0.5, 0.4, -0.1, 1.5))})
    assert (of(found, "higher peak forgets"), of(found, "higher peak learns")) == (CONTRADICTS, CONTRADICTS)
    found = verdicts({"plain": ({}, PLAIN, (1.2, 0.4, -0.1, 1.5)), "low": (low, PLAIN, (0.5, 0.4, -0.1, 1.5))})
    assert (of(found, "higher peak forgets"), of(found, "higher peak learns")) == (CANNOT, CANNOT)


def test_one_peak_that_forgets_less_contradicts_though_another_agrees(verdicts: Callable[..., dict[str, str]]) -> None:
    found = verdicts(
        {
            "plain": ({}, PLAIN, (1.2, 0.7, -0.1, 1.5)),
            "low": ({"peak_lr": 1e-3}, PLAIN, (0.5, 0.4, -0.1, 1.5)),
            "lower": ({"peak_lr": 1e-4}, PLAIN, (1.2, 1.1, -0.1, 1.5)),
        }
    )
    assert of(found, "higher peak forgets") == CONTRADICTS


def test_no_difference_is_agreed_to_only_where_the_interval_is_narrow(verdicts: Callable[..., dict[str, str]]) -> None:
    def long(end: float, **more: float) -> str:
        ways = {"plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5)), "long": ({"warmup_steps": 48}, PLAIN, (1.2, end, -0.1, 1.5))}
        return of(verdicts(ways, **more), "how long re-warming takes")

    assert long(1.01) == AGREES
    assert long(1.5) == CONTRADICTS
    assert long(1.01, noise=0.2) == CANNOT


def test_replay_of_a_few_percent_is_asked_to_keep_more_than_half_and_any_replay_to_cost_less_than_a_tenth(
    verdicts: Callable[..., dict[str, str]],
) -> None:
    def replay(few: tuple[float, float], more: tuple[float, float]) -> tuple[str, str]:
        ways = {"plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5))}
        for name, share, (end, learnt) in (("replay-5", 0.05, few), ("replay-25", 0.25, more)):
            weights = {"old.a": share, **{source: (1 - share) * weight for source, weight in PLAIN.items()}}
            ways[name] = ({}, weights, (1.2, end, -0.1, learnt))
        found = verdicts(ways)
        return of(found, "keeps most"), of(found, "costs the new text little")

    assert replay((0.2, 1.48), (0.0, 1.45)) == (AGREES, AGREES)
    # A quarter that keeps nearly all says nothing of a few percent that keep little; and it costs a third.
    assert replay((0.9, 1.48), (0.0, 1.0)) == (CONTRADICTS, CONTRADICTS)


def test_each_choice_of_text_is_held_against_the_plain_way_by_itself(verdicts: Callable[..., dict[str, str]]) -> None:
    found = verdicts(
        {
            "plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5)),
            "best": ({}, {"new.a": 1.0}, (1.6, 1.3, -0.1, 1.7)),
            "mixture": ({}, {"old.a": 0.4, "new.a": 0.6}, (0.3, 0.1, -0.1, 1.5)),
        }
    )
    assert (of(found, "'best' recovers"), of(found, "'best' learns")) == (CANNOT, AGREES)
    assert (of(found, "'mixture' recovers"), of(found, "'mixture' learns")) == (CANNOT, CANNOT)
    # That a choice shrinks the dip of old text is in the contrasts, and no claim of these papers.
    assert not [claim for claim in found if "dip" in claim]


def test_a_study_makes_no_claims_of_what_it_did_not_vary_and_one_seed_tells_nothing(
    verdicts: Callable[..., dict[str, str]],
) -> None:
    found = verdicts({"plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5))})
    assert len(found) == 2
    ways = {"plain": ({}, PLAIN, (1.2, 1.0, -0.1, 1.5)), "low": ({"peak_lr": 1e-3}, PLAIN, (0.5, 0.4, -0.1, 1.1))}
    assert set(verdicts(ways, seeds=1).values()) == {CANNOT}


def test_evidence_of_learning_is_more_where_more_was_learnt(make_continued: Make) -> None:
    runs = [
        make_continued({"way": name}, seed, [2.0, 3.0, 2.5], [4.0, 3.0, 4.0 - learnt - seed / 1000 * sign], schedule)
        for name, schedule, learnt, sign in (("plain", {}, 1.5, 1), ("low", {"peak_lr": 1e-3}, 1.1, -1))
        for seed in (1, 2, 3)
    ]
    config = ContinuedAnalysis(stage="continue", old=("old.a", "old.b"), new=("new.a",))
    (one,) = [one for one in analyse_continued(runs, config, CompareConfig())["findings"] if "peak learns" in one["claim"]]
    (row,) = one["evidence"]
    assert row["what"] == "plain against low"
    assert row["value"] == pytest.approx(0.404)
    assert 0 < row["low"] < 0.404 < row["high"]
