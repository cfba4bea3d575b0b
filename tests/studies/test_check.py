from typing import Any

import pytest

from pellucid.recipe.study import StudyConfig
from pellucid.studies.check import check_study

AXIS = {"lr": {"key": "train.0.schedule.peak_lr", "values": [1e-3, 2e-3]}}


def study(**values: Any) -> StudyConfig:
    return StudyConfig.model_validate({"kind": "study", "name": "s", "base": "b.yaml", "axes": AXIS, **values})


def test_a_sound_study_has_no_problem() -> None:
    ranged = {"lr": {"key": "k", "low": 1e-4, "high": 1e-2, "scale": "log"}}
    assert check_study(study()) == []
    assert check_study(study(axes=ranged, design={"kind": "random", "samples": 3})) == []
    assert check_study(study(design={"kind": "list", "runs": [{"lr": "0.001"}]})) == []


@pytest.mark.parametrize(
    ("values", "field", "message", "fix"),
    [
        ({"axes": {"a": {}}}, "axes.a", "has no levels", "values"),
        ({"axes": {"a": {"values": [1], "mixes": "stable-lm-2"}}}, "axes.a", "has values and mixes; must have exactly one", ""),
        ({"axes": {"a": {"key": "k", "levels": {"x": {}}}}}, "axes.a.key", "got 'k'; levels name the keys", "leave it out"),
        ({"axes": {"a": {"levels": {}}}}, "axes.a.levels", "must hold at least 1", ""),
        ({"axes": {"a": {"levels": {"x": {"seed": 3}}}}}, "axes.a.levels.x.seed", "cannot set seed", "leave it out"),
        ({"axes": {"seed": {"values": [3]}}}, "axes.seed", "cannot set seed: seeds: lists them", "leave it out"),
        ({"set": {"name": "x"}}, "set.name", "cannot set name", "leave it out"),
        ({"axes": {"a": {"values": [[1]]}}}, "axes.a.values", "holds a list or a mapping", "levels"),
        ({"axes": {"a": {"values": [1e-3, 2e-3, 1.0e-3]}}}, "axes.a.values", "holds a value twice", ""),
        ({"axes": {"a": {"low": 1, "high": 2}}}, "axes.a", "is a range, and design.kind is grid", "random"),
        ({"axes": {"a": {"low": 1}}, "design": {"kind": "random", "samples": 1}}, "axes.a", "has one end", "low and high"),
        ({"axes": {"a": {"low": 2, "high": 1}}, "design": {"kind": "random", "samples": 1}}, "axes.a.low", "must be less than", ""),
        (
            {"axes": {"a": {"low": 0, "high": 1, "scale": "log"}}, "design": {"kind": "random", "samples": 1}},
            "axes.a.low",
            "must be more than 0",
            "linear",
        ),
        ({"design": {"kind": "list"}}, "design.runs", "missing; kind is list", "runs"),
        (
            {"axes": {"a": {"low": 1.5, "high": 3, "whole": True}}, "design": {"kind": "random", "samples": 1}},
            "axes.a.whole",
            "got ends 1.5 and 3; must be whole",
            "",
        ),
        ({"axes": {"a": {"values": [1], "whole": True}}}, "axes.a.whole", "is for low and high", "leave it out"),
        ({"design": {"samples": 3}}, "design.samples", "is for kind: random, and kind is grid", "leave out"),
        ({"design": {"kind": "random", "samples": 3}, "axes": {}}, "axes", "there is nothing to draw", "axes"),
        ({"design": {"kind": "list", "runs": [{"lrr": "1", "lr": "1"}]}}, "design.runs[0].lrr", "no such axis", "did you mean lr?"),
        ({"design": {"kind": "list", "runs": [{}]}}, "design.runs[0].lr", "missing; every run has", ""),
        ({"seeds": [1, 1]}, "seeds[1]", "got 1, which is there already", "different"),
        ({"seeds": [-1]}, "seeds[0]", "must be 0 to", ""),
        ({"analyse": {"mixes": {}}}, "analyse.mixes.mix", "got 'mix'; there is no such axis", "axes are: lr"),
        ({"analyse": {"schedules": {"schedule": "lr", "length": "l"}}}, "analyse.schedules.length", "no such axis", ""),
        ({"analyse": {"batch_size": {}}}, "analyse.batch_size.batch", "no such axis", ""),
        (
            {"axes": {"mix": {"levels": {"a": {}, "b": {}}, "baseline": "b"}}, "analyse": {"mixes": {}}},
            "axes.mix.baseline",
            "got 'b'; analyse.mixes.mix compares with the first level, which is 'a'",
            "first of the levels",
        ),
        ({"analyse": {"scaling": {}}}, "analyse.scaling.rung", "no such axis", ""),
        ({"analyse": {"continued": {"stage": "x", "old": ["a"], "new": ["b"]}}}, "analyse.continued.factor", "no such axis", ""),
        ({"stop": {"target_level": {"lr": "1"}, "target_loss": 3}}, "stop.target_loss", "has stop.target_level as well", "keep"),
        ({"stop": {"target_level": {}}}, "stop.target_level", "names no level of lr", "one run of each seed"),
    ],
)
def test_what_cannot_work_is_told_with_field_value_and_fix(values: dict[str, Any], field: str, message: str, fix: str) -> None:
    found = [one for one in check_study(study(**values)) if one.field == field]
    assert found, check_study(study(**values))
    assert message in found[0].message
    assert fix in found[0].fix


def test_all_problems_come_at_once() -> None:
    found = check_study(study(axes={"a": {}, "b": {"values": [[1]]}}, seeds=[1, 1], analyse={"mixes": {}}))
    assert len(found) == 4
