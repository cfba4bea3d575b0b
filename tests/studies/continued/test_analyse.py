from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml

from pellucid.plan.mixing import mix_stages
from pellucid.recipe.load import load_recipe
from pellucid.recipe.study import CompareConfig, ContinuedAnalysis, StudyConfig
from pellucid.studies.continued.analyse import analyse_continued
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
STUDIES = Path(__file__).parents[3] / "recipes" / "studies"
CONFIG = ContinuedAnalysis(stage="continue", old=("old.a", "old.b"), new=("new.a",))
COMPARE = CompareConfig()


def analysed(runs: list[RunResult], config: ContinuedAnalysis = CONFIG) -> dict[str, Any]:
    """Return what is found, after it was seen to be plain values with no number that is none."""
    found = analyse_continued(runs, config, COMPARE)
    assert orjson.loads(orjson.dumps(found)) == found
    return found


def test_curves_gaps_and_ends_are_those_of_the_runs(make_continued: Make) -> None:
    runs = [make_continued({"way": "plain"}, seed, [2 + seed, 3 + seed, 2.5 + seed], [4, 3, 2.5]) for seed in (1, 2, 3)]
    found = analysed(runs)
    (old,) = [one for one in found["curves"] if one["kind"] == "old"]
    assert old["tokens"] == [0, 1000, 2000]
    assert old["mean"] == pytest.approx([4, 5, 4.5])
    # Seeds lie far apart, and all change alike: the change since the start is known exactly.
    assert old["change"] == pytest.approx([0, 1, 0.5])
    assert old["change_high"] == pytest.approx([0, 1, 0.5])
    assert old["high"][0] == pytest.approx(4 + 4.302653 / np.sqrt(3))
    gaps = {(gap["kind"], gap["group"]): gap for gap in found["gaps"]}
    assert gaps["source", "old.b"]["dip"]["mean"] == pytest.approx(1.0)
    assert gaps["category", "Web"]["start"]["mean"] == pytest.approx(4.0)
    assert gaps["category", "Web"]["text"]["bytes"] == {"least": 4000, "greatest": 4000}
    assert found["effects"]["old_end"]["rows"][0]["mean"] == pytest.approx(4.5)
    assert found["effects"]["new_end"]["rows"][0]["mean"] == pytest.approx(2.5)
    assert found["effects"]["new_change"]["rows"][0]["mean"] == pytest.approx(-1.5)
    assert found["notes"] == ["There is one way only, so nothing to compare it with."]


def test_the_tradeoff_is_of_all_held_out_text_though_its_openings_say_otherwise(make_continued: Make) -> None:
    # By the openings `long` ends better on both; by the full text, which is what counts, `plain` does.
    full = {
        "plain": make_continued({}, 1, [2.0, 2.8], [4.0, 2.4]).table,
        "long": make_continued({}, 1, [2.0, 2.9], [4.0, 2.5]).table,
    }
    openings = {"plain": ([2.0, 3.0], [4.0, 2.6]), "long": ([2.0, 2.7], [4.0, 2.3])}
    runs = [make_continued({"way": way}, seed, *openings[way], table=full[way]) for way in full for seed in (1, 2, 3)]
    trade = analysed(runs)["tradeoff"]
    assert trade["front"] == ["plain"]
    assert [(row["old_end"]["mean"], row["new_end"]["mean"]) for row in trade["rows"]] == [
        (pytest.approx(2.8), pytest.approx(2.4)),
        (pytest.approx(2.9), pytest.approx(2.5)),
    ]


def test_a_known_effect_on_forgetting_is_recovered_within_its_interval_as_often_as_it_says(make_continued: Make) -> None:
    generator, inside = np.random.default_rng(11), 0
    for _ in range(50):
        runs = []
        for seed in (1, 2, 3):
            start = 2 + generator.normal(0, 0.1)
            for way, forgets in (("plain", 0.8), ("replay", 0.3)):
                old = [start, start + 1, start + forgets + generator.normal(0, 0.03)]
                runs.append(make_continued({"way": way}, seed, old, [4, 3, 2.5]))
        (row,) = [row for row in analyse_continued(runs, CONFIG, COMPARE)["effects"]["forgotten"]["rows"] if "low" in row]
        inside += row["low"] <= -0.5 <= row["high"]
    # 47.5 of 50 expected; 41 or fewer with p < 0.001.
    assert inside > 41


def test_axes_without_the_factor_are_joined_into_ways_and_still_told_apart_by_cause(make_continued: Make) -> None:
    runs = [
        make_continued(
            {"peak": peak, "replay": share},
            seed,
            [2.0, 3.5, 2.0 + 200 * float(peak) - float(share) / 2 + seed / 1000],
            [4, 3, 2.5],
            {"peak_lr": float(peak)},
            {"old.a": float(share), "new.a": 1 - float(share)},
        )
        for peak in ("0.004", "0.001")
        for share in ("0", "0.25")
        for seed in (1, 2)
    ]
    found = analysed(runs)
    assert [way["level"] for way in found["ways"]] == ["0.004-0", "0.004-0.25", "0.001-0", "0.001-0.25"]
    causes = {row["cause"]: row["forgotten"]["difference"] for row in found["contrasts"]}
    assert causes == {"peak": pytest.approx(0.6), "replay": pytest.approx(-0.125)}
    assert len(found["tradeoff"]["rows"]) == 4


def test_what_is_missing_is_said_and_nothing_crashes(make_continued: Make) -> None:
    good = make_continued({"way": "plain"}, 1, [2, 3, 2.5], [4, 3, 2.5])
    failed = make_continued({"way": "hot"}, 1, [2, 3, 2.5], [4, 3, 2.5], outcome="failed", table=None)
    late = make_continued({"way": "late"}, 1, [2, 3, 2.5], [4, 3, 2.5], points=good.points[1:])
    found = analysed([good, failed, late])
    text = " ".join(found["notes"])
    for part in (
        "come to their length: hot-s1",
        "or after: late-s1",
        "how sure it is: plain, late",
        "to its length: hot",
    ):
        assert part in text
    assert {gap["level"] for gap in found["gaps"]} == {"plain"}
    assert [row["level"] for row in found["tradeoff"]["rows"]] == ["plain", "late"]  # both have their scores at the end
    assert analysed([])["baseline"] is None
    none = analysed([make_continued({"way": "plain"}, 1, [2, 3], [4, 3], points=(), stages=(), weights={})])
    assert "No run has points" in none["notes"][0]
    assert (none["curves"], none["findings"]) == ([], [])
    other = analysed([good], ContinuedAnalysis(stage="continue", old=("nowhere",), new=("new.a",)))
    assert other["old"] == []
    assert "or after: plain-s1" in " ".join(other["notes"])


def test_the_study_in_the_repository_is_valid_and_its_ways_differ_as_their_names_say() -> None:
    study = StudyConfig.model_validate(yaml.safe_load((STUDIES / "continued.yaml").read_text()))
    asked = study.analyse.continued
    assert asked is not None
    axis = study.axes[asked.factor]
    assert axis.levels is not None
    assert next(iter(axis.levels)) == "plain"
    names = {source.name for source in load_recipe(STUDIES / study.base).recipe.sources}
    assert {*asked.old, *asked.new} == names
    shares = {}
    for level, changes in axis.levels.items():
        recipe = load_recipe(
            STUDIES / study.base, [f"{key}={orjson.dumps(value).decode()}" for key, value in changes.items()]
        ).recipe
        pretrain, stage = recipe.train
        assert (pretrain.name, stage.name) == ("pretrain", asked.stage)
        assert stage.curves is not None and "perplexity" in stage.curves.tasks and stage.curves.at_steps
        assert mix_stages(recipe)[1].stage == asked.stage  # sizes that shares follow from are known before there are shards
        weights = recipe.weights_of(stage)
        read = sum(weights.values())
        shares[level] = sum(weights[name] for name in asked.old) / read if read else 0.0
        assert sum(recipe.weights_of(pretrain)[name] for name in asked.new) == 0
    assert {level: share for level, share in shares.items() if share} == {
        "replay-5": pytest.approx(0.05, rel=1e-3),
        "replay-25": pytest.approx(0.25, rel=1e-3),
        "mixture": pytest.approx(0.4),
    }
    base = load_recipe(STUDIES / study.base).recipe
    tokens = len(study.seeds) * (base.train[0].length_tokens + len(axis.levels) * base.train[1].length_tokens)
    assert tokens <= 26e6
    assert study.budget.tokens is not None
    assert tokens <= study.budget.tokens
