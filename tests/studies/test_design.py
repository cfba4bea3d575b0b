import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.study import AxisConfig
from pellucid.studies.design import LoadedStudy, _drawn_from, load_study

BASE = """\
sources: [{name: a, path: a.txt, category: Web, language: en, weight: 1}]
model: {preset: pocket}
train:
  - {name: pretrain, length_tokens: 102_400, batch_tokens: 1024, seq_tokens: 128, micro_seqs: 8, schedule: {peak_lr: 1e-3}}
"""
STUDY = """\
kind: study
base: base.yaml
set: {train.pretrain.length_tokens: 51_200}
axes:
  peak: {key: train.0.schedule.peak_lr, values: [1e-3, 0.02]}
  kind:
    levels:
      cosine: {train.0.schedule.kind: cosine, train.0.schedule.min_lr: 1e-5}
      linear: {train.0.schedule.kind: linear}
seeds: [7, 8]
"""
TWO = """\
kind: study
base: base.yaml
axes: {mix: {leave_out: category}}
seeds: [1]
set:
  sources:
    - {name: a, path: a.txt, category: Web, language: en, weight: 1}
    - {name: b, path: b.txt, category: Law, language: en, weight: 1}
"""
Study = Callable[..., LoadedStudy]


@pytest.fixture
def load(tmp_path: Path) -> Study:
    (tmp_path / "base.yaml").write_text(BASE)

    def make(*overrides: str, text: str = STUDY) -> LoadedStudy:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return load_study(path, overrides)

    return make


def test_a_grid_has_every_level_with_every_other_and_every_seed(load: Study) -> None:
    study = load()
    assert study.config.name == "mine"  # the file's
    assert [run.name for run in study.runs] == [
        f"{peak}-{kind}-s{seed}" for peak in ("0.001", "0.02") for kind in ("cosine", "linear") for seed in (7, 8)
    ]
    run = study.runs[2]
    assert (run.levels, run.seed) == ({"peak": "0.001", "kind": "linear"}, 7)
    recipe = run.loaded.recipe
    assert (recipe.name, recipe.seed, recipe.train[0].length_tokens) == ("mine-0.001-linear-s7", 7, 51_200)
    assert (recipe.train[0].schedule.kind, recipe.train[0].schedule.min_lr) == ("linear", 0.0)
    assert study.runs[0].loaded.recipe.train[0].schedule.min_lr == 1e-5


def test_a_list_has_the_runs_that_it_names(load: Study) -> None:
    study = load("design={kind: list, runs: [{peak: '0.02', kind: linear}]}")
    assert [run.name for run in study.runs] == ["0.02-linear-s7", "0.02-linear-s8"]


def test_draws_are_the_same_each_time_within_their_range_and_never_twice(load: Study) -> None:
    overrides = (
        "axes.peak={key: train.0.schedule.peak_lr, low: 1e-4, high: 1e-2, scale: log, values: []}",
        "design={kind: random, samples: 12}",
    )
    study = load(*overrides, text=STUDY.replace("values: [1e-3, 0.02]", "low: 1, high: 2"))
    again = load(*overrides, text=STUDY.replace("values: [1e-3, 0.02]", "low: 1, high: 2"))
    assert [run.name for run in study.runs] == [run.name for run in again.runs]
    assert len(study.runs) == 24
    peaks = [run.loaded.recipe.train[0].schedule.peak_lr for run in study.runs]
    assert all(1e-4 <= peak <= 1e-2 for peak in peaks)
    assert sum(peak < 1e-3 for peak in peaks) in range(6, 19)  # half of a logarithmic range lies below its middle
    assert {run.levels["kind"] for run in study.runs} == {"cosine", "linear"}


def test_whole_numbers_below_0_are_drawn_as_often_as_others() -> None:
    axis, random = AxisConfig(low=-2, high=2, whole=True), Random(1)
    drawn = [_drawn_from(-2, 2, axis, random) for _ in range(5000)]
    assert set(drawn) == {-2, -1, 0, 1, 2}
    assert all(drawn.count(value) in range(850, 1150) for value in set(drawn))


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_whole_numbers_are_drawn_with_both_ends(load: Study, scale: str) -> None:
    layers_axis = f"{{key: model.layers, low: 1, high: 4, scale: {scale}, whole: true}}"
    text = STUDY.replace("{key: train.0.schedule.peak_lr, values: [1e-3, 0.02]}", layers_axis)
    study = load("design={kind: random, samples: 8}", "seeds=[1]", text=text)
    layers = [run.loaded.recipe.model.layers for run in study.runs]
    assert set(layers) == {1, 2, 3, 4}
    assert [run.levels["peak"] for run in study.runs] == [str(count) for count in layers]


def test_more_draws_than_there_is_to_draw_are_a_problem(load: Study) -> None:
    assert len(load("design={kind: random, samples: 4}").runs) == 8
    with pytest.raises(RecipeError) as raised:
        load("design={kind: random, samples: 50}")
    [problem] = raised.value.problems
    assert (problem.field, problem.message) == ("design.samples", "got 50; the axes gave 4 different ones in 5000 draws")
    assert problem.fix == "samples: 4, or design: {kind: grid}"
    with pytest.raises(RecipeError) as raised:
        load("design={kind: random, samples: 50}", "axes.peak={key: model.layers, low: 1, high: 2, whole: true, values: []}")
    assert raised.value.problems[0].fix == "samples: 4"


def test_without_axes_the_seeds_alone_are_runs(load: Study) -> None:
    study = load(text="kind: study\nbase: base.yaml\n")
    assert [run.name for run in study.runs] == ["s1", "s2", "s3"]


def test_overrides_reach_the_study_and_through_set_the_recipes(load: Study) -> None:
    study = load("seeds=[3]", "set.train.pretrain.z_loss=1e-4", "work.workers=2")
    assert study.config.work.workers == 2
    assert {run.seed for run in study.runs} == {3}
    assert all(run.loaded.recipe.train[0].z_loss == 1e-4 for run in study.runs)
    assert all(run.loaded.recipe.train[0].length_tokens == 51_200 for run in study.runs)


def test_the_digest_is_of_values_not_of_their_spelling(load: Study) -> None:
    assert load().digest == load(text=STUDY.replace("0.02", "2e-2") + "# a remark\n").digest
    assert load().digest != load("compare.seed=2").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("base.yaml", "bas.yaml"), "did you mean"),
        (("seeds", "seed_list"), "unknown key"),
        (("kind: linear}", "kind: linaer}"), "0.001-linear-s7: train[0].schedule.kind"),
        (("51_200", "-3"), "base: train[0].length_tokens"),
        (("linear: {", "'Cosine ': {"), "two runs would be called"),
        (("[1e-3, 0.02]", "[0.001234567, 0.001234568]"), "values that are shown alike"),
        (("seeds: [7, 8]", "stop: {target_level: {peak: '0.02', kind: linaer}}"), "the axis has no such level"),
        (
            (
                "seeds: [7, 8]",
                "stop: {target_level: {peak: '0.02', kind: linear}}\ndesign: {kind: list, runs: [{peak: '0.02', kind: cosine}]}",
            ),
            "the design has no such run",
        ),
        (("linear: {", f"{'l' * 200}: {{"), "give levels short names"),
        (("seeds: [7, 8]", "axes2: 3"), "unknown key"),
        (("key: train.0.schedule.peak_lr", "baseline: '3', key: train.0.schedule.peak_lr"), "the axis has no such level"),
        (("kind: study\n", "kind: study\nextends: other.yaml\n"), "does not exist"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(load: Study, change: tuple[str, str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text=STUDY.replace(*change))
    assert message in str(caught.value)


def test_an_axis_of_mixes_does_not_leave_a_stage_with_its_own(load: Study) -> None:
    mixes = [run.loaded.recipe.train[0].weights for run in load(text=TWO).runs]
    assert mixes == [{"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.0}]
    with pytest.raises(RecipeError, match="the axis gives the stage its mix"):
        load(text=TWO + "  train.pretrain.weights: {a: 1, b: 2}\n")


def test_a_study_that_extends_another_is_refused(load: Study, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("kind: study\nbase: base.yaml\n")
    with pytest.raises(RecipeError, match="a study extends nothing"):
        load(text="extends: other.yaml\nseeds: [1]\n")


def test_problems_of_all_runs_are_told_at_once_and_once_for_all_seeds(load: Study) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text=STUDY.replace("kind: linear}", "kind: linear, train.0.seq_tokens: 100}"))
    assert len(caught.value.problems) == 2  # one for each peak
    assert all(problem.field.startswith(("0.001-linear-s7", "0.02-linear-s7")) for problem in caught.value.problems)


def test_levels_whose_names_are_no_folders_are_named_without_what_is_none(load: Study) -> None:
    study = load(text=STUDY.replace("linear: {", "'linear / 2': {"))
    assert "0.001-linear_2-s7" in [run.name for run in study.runs]
    assert json.loads(json.dumps(study.runs[2].levels))["kind"] == "linear / 2"
