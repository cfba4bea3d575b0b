"""The whole analysis of mixes, and the three studies beside the recipes that ask for it."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pellucid.recipe.study import CompareConfig, MixesAnalysis, StudyConfig
from pellucid.studies.design import LoadedStudy, load_study
from pellucid.studies.mixes.analyse import analyse_mixes
from pellucid.studies.mixes.levels import leave_out_levels
from pellucid.studies.plan import plan_study
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
STUDIES = Path(__file__).parents[3] / "recipes" / "studies"
SOURCES = {
    "law": {"category": "Law", "language": "en"},
    "code": {"category": "Code", "language": "en"},
    "web": {"category": "Web", "language": "en"},
}


@cache
def loaded(name: str) -> LoadedStudy:
    return load_study(STUDIES / f"{name}.yaml")


def analyse(runs: list[RunResult], **config: Any) -> dict[str, Any]:
    found = analyse_mixes(runs, MixesAnalysis(**config), CompareConfig())
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def without_parts(make_run: Make, lost: Mapping[str, float], gained: float = 0.0) -> list[RunResult]:
    """Runs of `all` and of each category left out, which costs its own text `lost` and gives the others `gained`."""
    generator = np.random.default_rng(1)
    levels = {"all": None} | {f"no-{name}": name for name in lost}
    runs = []
    for level, out in levels.items():
        kept = [name for name in SOURCES if SOURCES[name]["category"] != out]
        for seed in (1, 2, 3):
            bits = {
                name: 2 + 0.1 * seed + (0 if out is None else lost[name] if name == out else -gained) + generator.normal(0, 0.005)
                for name in lost
            }
            weights = {"pretrain": dict.fromkeys(kept, 1 / len(kept))}
            whole = sum(bits.values()) / len(bits)
            runs.append(make_run({"mix": level}, seed, whole, {"category": bits}, weights=weights, sources=SOURCES))
    return runs


def test_what_a_category_is_worth_is_what_its_own_text_all_text_and_the_others_lose(make_run: Make) -> None:
    lost = {"Law": 0.3, "Code": 0.6, "Web": 0.0}
    found = analyse(without_parts(make_run, lost, gained=0.03), law=False)
    assert found["baseline"] == "all" and found["findings"] == []
    value = {row["name"]: row for row in found["value"]}
    for name, own in lost.items():
        assert value[name]["share"] == pytest.approx(1 / 3)
        for column, truth in (("own", own), ("others", -0.03), ("overall", (own - 0.06) / 3)):
            told = value[name][column]
            assert told["low"] - 0.005 <= truth <= told["high"] + 0.005, (name, column)
    assert [value[name]["own"]["verdict"] for name in lost] == ["worse", "worse", "cannot be told apart"]
    assert value["Law"]["others"]["verdict"] == "better"


def test_shares_are_those_that_runs_read_beside_the_printed_ones(make_run: Make) -> None:
    weights = {"pretrain": {"web": 0.49, "code": 0.28, "law": 0.23}}
    runs = [make_run({"mix": mix}, 1, 2.0, weights=weights, sources=SOURCES) for mix in ("control", "mix5")]
    shares = analyse(runs, law=False)["shares"]
    assert (shares["by"], shares["names"]) == ("row", ["Cultura-x En", "Starcoder", "Others"])
    assert shares["levels"][1]["shares"] == pytest.approx({"Cultura-x En": 0.49, "Starcoder": 0.28, "Others": 0.23})
    assert shares["levels"][1]["printed"]["Starcoder"] == 0.28 and shares["levels"][1]["printed_sum"] == 0.9992
    others = [make_run({"mix": mix}, 1, 2.0, weights=weights, sources=SOURCES) for mix in ("a", "b")]
    assert analyse(others, law=False)["shares"]["by"] == "category"
    unknown = [make_run({"mix": mix}, 1, 2.0, weights=weights) for mix in ("a", "b")]
    told = analyse(unknown, law=False)
    assert told["shares"]["by"] == "source" and any("not known" in note for note in told["notes"])


def test_failed_runs_one_seed_and_one_level_are_told_and_nothing_crashes(make_run: Make) -> None:
    failed = RunResult("control-s2", {"mix": "control"}, 2, "failed", "diverged")
    lost = RunResult("mix1-s1", {"mix": "mix1"}, 1, "not begun")
    found = analyse([make_run({"mix": "control"}, 1, 2.0), failed, lost])
    assert found["left_out"] == [
        {"run": "control-s2", "outcome": "failed", "message": "diverged"},
        {"run": "mix1-s1", "outcome": "not begun", "message": ""},
    ]
    assert found["notes"][:2] == ["control-s2 does not count: failed.", "mix1-s1 does not count: not begun."]
    alone = analyse([make_run({"mix": "control"}, 1, 2.0)])
    assert alone["notes"][:2] == [
        "The axis 'mix' has one level: there is nothing to compare.",
        "One seed: differences have no interval.",
    ]
    for runs in ([], [failed], [lost, failed], [make_run({"other": "x"}, 1, 2.0)]):
        assert analyse(runs)["shares"] is None
    mixes = [make_run({"mix": mix}, 1, 2.0, {"language": {"de": 3.0}}) for mix in ("control", "mix1", "mix2", "mix3", "mix4")]
    assert {one["verdict"] for one in analyse([*mixes, RunResult("x", {"mix": "mix5"}, 1, "failed")])["findings"]} == {
        "cannot be told"
    }


def test_an_axis_of_upsampling_beside_the_mixes_has_scores_of_its_own(make_run: Make) -> None:
    runs = [
        make_run({"upsample": level}, seed, 2.0, {"category": {"Math": value + 0.01 * seed}})
        for level, value in (("Math", 1.5), ("none", 1.8))
        for seed in (1, 2)
    ]
    found = analyse(runs, law=False)
    assert found["notes"] == ["No run has an axis 'mix'."] and found["levels"] == []
    assert found["upsample"]["baseline"] == "none"
    [group] = found["upsample"]["scores"]["category"]
    assert group["rows"][0]["difference"] == pytest.approx(-0.3)
    asked = analyse(runs, mix="upsample", law=False)
    assert asked["upsample"] is None
    assert asked["scores"] == found["upsample"]["scores"]


@pytest.mark.parametrize(("name", "runs", "most"), [("mixes", 18, 15e6), ("leave-one-out", 20, 13e6), ("upsampling", 15, 8e6)])
def test_the_studies_of_mixes_are_whole_and_keep_to_their_tokens(name: str, runs: int, most: float) -> None:
    StudyConfig.model_validate(yaml.safe_load((STUDIES / f"{name}.yaml").read_text()))
    study = loaded(name)
    plan = plan_study(study)
    assert len(study.runs) == runs and not plan.left_out
    assert sum(one.tokens for one in plan.runs) <= most


def test_every_source_of_the_base_is_a_file_of_its_own_language_and_the_mix_is_that_of_the_pocket_recipe() -> None:
    base = yaml.safe_load((STUDIES / "mixes-base.yaml").read_text())["sources"]
    files = sorted((STUDIES.parents[1] / "corpora" / "pocket").glob("*.parquet"))
    assert sorted(Path(one["path"]).name for one in base) == [file.name for file in files]
    whole = yaml.safe_load((STUDIES.parent / "pocket.yaml").read_text())["sources"]
    for one in base:
        assert Path(one["path"]).name == f"{one['name']}.parquet"
        assert one["name"].rpartition(".")[2] == one["language"]
    for source in whole:
        own = [one for one in base if one["name"].rpartition(".")[0] == source["name"]]
        assert sum(one["weight"] for one in own) == pytest.approx(source["weight"], abs=0.02)
        assert {(one["category"], one.get("licence")) for one in own} == {(source["category"], source.get("licence"))}


def test_each_level_of_upsampling_gives_half_of_the_end_to_its_domain() -> None:
    study = loaded("upsampling")
    for run in study.runs:
        recipe, level = run.loaded.recipe, run.levels["upsample"]
        weights = recipe.weights_of(recipe.train[1])
        own = sum(weights[one.name] for one in recipe.sources if one.category == level)
        assert own / sum(weights.values()) == pytest.approx(0.0 if level == "none" else 0.5, abs=0.002)
        assert recipe.train[0].weights is None
    assert recipe.train[1].length_tokens / sum(stage.length_tokens for stage in recipe.train) == pytest.approx(0.15, abs=0.001)


def test_levels_without_a_part_are_those_of_the_study() -> None:
    study = loaded("leave-one-out")
    recipe = study.runs[0].loaded.recipe
    weights = {one.name: one.weight or 0.0 for one in recipe.sources}
    assert [*dict.fromkeys(run.levels["mix"] for run in study.runs)] == list(leave_out_levels(recipe.sources, "category", weights))
