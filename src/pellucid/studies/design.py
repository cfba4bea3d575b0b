"""From a study's file to its runs: axes and seeds multiplied out, each run's recipe loaded, every problem shown at once."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from pellucid.core.errors import Problem, RecipeError
from pellucid.core.seeds import derive_seed
from pellucid.recipe.load import LoadedRecipe, load_recipe
from pellucid.recipe.merge import apply_override, suggest
from pellucid.recipe.problems import field_text, translate
from pellucid.recipe.read import read_chain
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.study import AxisConfig, StudyConfig
from pellucid.recipe.tree import Node, TreeError, plain
from pellucid.studies.check import check_study
from pellucid.studies.mixes.levels import leave_out_levels, report_mixes

__all__ = ["LoadedStudy", "PlannedRun", "level_names", "load_study", "run_name"]

_LONGEST_NAME = 150  # of a run: its folder's name, with room for what is put before and behind it

Levels = dict[str, dict[str, Any]]
"""Of one axis: what each level sets, by its name."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its level of each axis, its seed, and its recipe."""

    name: str
    levels: dict[str, str]
    seed: int
    loaded: LoadedRecipe


@dataclass(frozen=True)
class LoadedStudy:
    """A study and its runs, in the order of axes and seeds."""

    config: StudyConfig
    path: Path
    runs: tuple[PlannedRun, ...]

    @property
    def digest(self) -> str:
        """sha256 of the study's values: what results are a function of, beside the runs."""
        return sha256(json.dumps(self.config.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_study(path: Path, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Read a study, apply `--set` overrides (of the study's keys; `set.KEY` is one of the recipe's), and load every run's recipe.

    Raises `RecipeError` listing every problem: of the study, and of the recipes by the level that brings it.
    """
    path = Path(path)
    config = _read(path, overrides)
    if problems := check_study(config):
        raise RecipeError(str(path), problems)
    base = path.parent / config.base
    common = [_setting(key, value) for key, value in config.set.items()]
    try:
        start = load_recipe(base, common)
    except RecipeError as error:
        found = [Problem(f"base: {one.field}", one.message, one.fix) for one in error.problems]
        raise RecipeError(str(path), found) from error
    axes: dict[str, Levels] = {}
    for name, axis in config.axes.items():
        try:
            axes[name] = _levels(name, axis, start)
        except RecipeError as error:
            problems += [Problem(f"axes.{name}: {one.field}", one.message, one.fix) for one in error.problems]
    problems += _wrong_levels(config, axes)
    if problems:
        raise RecipeError(str(path), problems)
    runs: list[PlannedRun] = []
    for levels, settings in _combined(config, axes):
        for seed in config.seeds:
            name = run_name(levels.values(), seed)
            own = [_setting(key, value) for key, value in {**settings, "name": f"{config.name}-{name}", "seed": seed}.items()]
            try:
                runs.append(PlannedRun(name, levels, seed, load_recipe(base, [*common, *own])))
            except RecipeError as error:
                problems += [Problem(f"{name}: {one.field}", one.message, one.fix) for one in error.problems]
                break  # the other seeds have the same
    problems += [
        Problem("axes", f"two runs would be called {name!r}", "name the levels apart: letters, digits, '.' and '_' count")
        for name in _twice([run.name for run in runs])
    ]
    problems += _not_among(config, runs)
    if not problems:
        problems += _too_few(config, runs)
    if problems:
        raise RecipeError(str(path), problems)
    return LoadedStudy(config, path, tuple(runs))


def _not_among(config: StudyConfig, runs: Sequence[PlannedRun]) -> list[Problem]:
    """Find what is asked of runs that the design does not have, or that they cannot tell."""
    problems = []
    wanted = config.stop.target_level
    if wanted is not None and not any(run.levels == wanted for run in runs):
        told = f"got {wanted}; the design has no such run, so there is no loss to end at"
        problems.append(Problem("stop.target_level", told, "name a level of every axis as the design has them"))
    batch = config.analyse.batch_size
    if batch is not None and batch.noise:
        last = runs[0].loaded.recipe.train[-1] if runs else None
        if last is not None and (not last.learns_from_text or last.adapter is not None):
            told = f"is measured of stages that train all weights on text, and {last.name!r}, the last, does not"
            problems.append(Problem("analyse.batch_size.noise", told, "noise: false"))
    longest = max((run.name for run in runs), key=len, default="")
    if len(longest) > _LONGEST_NAME:
        problems.append(
            Problem("axes", f"a run would be called {longest[:60]}…, {len(longest)} letters", "give levels short names")
        )
    return problems


def _read(path: Path, overrides: Sequence[str]) -> StudyConfig:
    """Return the study's own values; raise `RecipeError` listing what is wrong with them."""
    chain = read_chain(path)
    if len(chain) > 1:
        raise RecipeError(str(path), [Problem("extends", "a study extends nothing", "its runs begin from `base`")])
    tree: Node = chain[0]
    problems: list[Problem] = []
    for text in overrides:
        try:
            tree = _overridden(tree, text)
        except TreeError as error:
            problems += error.problems
    raw = plain(tree)
    raw.setdefault("name", path.stem)
    try:
        config = StudyConfig.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        findings = translate(error.errors(include_url=False), StudyConfig)
        problems += [Problem(field_text(one.loc), one.message, one.fix) for one in findings]
        raise RecipeError(str(path), problems) from error
    if problems:
        raise RecipeError(str(path), problems)
    return config


def _overridden(tree: Node, text: str) -> Node:
    """Apply one `--set`. Keys of the recipe keep their dots: `set` is a mapping of them."""
    key, _, value = text.partition("=")
    if not key.strip().startswith("set."):
        return apply_override(tree, text)
    found = apply_override({}, f"value={value}")
    assert isinstance(tree, dict) and isinstance(found, dict)
    own = tree.get("set")
    return {**tree, "set": {**(own if isinstance(own, dict) else {}), key.strip().removeprefix("set."): found["value"]}}


def _setting(key: str, value: Any) -> str:
    """Return a key and its value as `--set` takes them: JSON is YAML."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def level_names(axis: AxisConfig) -> list[str] | None:
    """Return the names of an axis' levels as far as the study alone tells them; None for mixes, parts left out, and ranges."""
    if axis.levels is not None:
        return list(axis.levels)
    return [_shown(value) for value in axis.values] or None


def _levels(name: str, axis: AxisConfig, start: LoadedRecipe) -> Levels:
    """Return what each level of an axis sets; none for a range, which is drawn from."""
    recipe = start.recipe
    if axis.levels is not None:
        return {level: dict(settings) for level, settings in axis.levels.items()}
    if axis.mixes is not None or axis.leave_out is not None:
        _check_mixable(name, recipe)
    weights: Mapping[str, Mapping[str, float]] = {}
    if axis.mixes is not None:
        weights = report_mixes(recipe.sources)
    elif axis.leave_out is not None:
        weights = leave_out_levels(recipe.sources, axis.leave_out, recipe.weights_of(recipe.text_stages[0]))
    if weights:
        return {level: {f"train.{stage.name}.weights": dict(mix) for stage in recipe.text_stages} for level, mix in weights.items()}
    found = {_shown(value): {axis.key or name: value} for value in axis.values}
    if len(found) < len(axis.values):
        told = "holds values that are shown alike, so that their runs would have one name"
        raise RecipeError(name, [Problem("values", told, "write levels: {NAME: {KEY: VALUE}}")])
    return found


def _check_mixable(name: str, recipe: Recipe) -> None:
    """Raise `RecipeError` unless an axis of mixes can set what text the base learns from."""
    problems = [
        Problem(f"train.{stage.name}.weights", "the axis gives the stage its mix, and it has one of its own", "leave it out")
        for stage in recipe.text_stages
        if stage.weights is not None
    ]
    if not recipe.text_stages:
        problems.append(Problem("train", "no stage learns from text, so there is nothing to mix", "give the base one"))
    if problems:
        raise RecipeError(name, problems)


def _combined(config: StudyConfig, axes: Mapping[str, Levels]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield the level of each axis and all that these set, by the study's design; later axes win where two set one key."""
    if config.design.kind == "random":
        yield from _drawn(config, axes)
        return
    grid = [dict(zip(axes, levels, strict=True)) for levels in product(*axes.values())]
    chosen = grid if config.design.kind == "grid" else [{axis: run[axis] for axis in axes} for run in config.design.runs]
    for levels in chosen:
        settings: dict[str, Any] = {}
        for axis, level in levels.items():
            settings |= axes[axis][level]
        yield levels, settings


def _drawn(config: StudyConfig, axes: Mapping[str, Levels]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Draw levels and values of ranges, never the same twice: `_too_few` tells where no more can be had."""
    random, seen = Random(derive_seed(config.design.seed, "design")), set[str]()
    for _ in range(100 * (config.design.samples or 0)):
        levels, settings = dict[str, str](), dict[str, Any]()
        for name, axis in config.axes.items():
            if axis.low is not None and axis.high is not None:
                value = _drawn_from(axis.low, axis.high, axis, random)
                levels[name], settings[axis.key or name] = _shown(value), value
            else:
                levels[name] = random.choice(list(axes[name]))
                settings |= axes[name][levels[name]]
        if json.dumps(levels) not in seen:
            seen.add(json.dumps(levels))
            yield levels, settings
        if len(seen) == config.design.samples:
            return


def _drawn_from(low: float, high: float, axis: AxisConfig, random: Random) -> float | int:
    """Return a value of a range: a whole number, or one of three digits."""
    at = random.random()
    if axis.whole:  # each number has the same share of a linear scale, that of its unit of a logarithmic one
        high += 1
    value = low * (high / low) ** at if axis.scale == "log" else low + (high - low) * at
    return math.floor(min(value, high - 1)) if axis.whole else float(f"{value:.3g}")


def _too_few(config: StudyConfig, runs: Sequence[PlannedRun]) -> list[Problem]:
    """Find a number of draws that the axes do not give."""
    wanted, drawn = config.design.samples, len({json.dumps(run.levels) for run in runs})
    if config.design.kind != "random" or wanted is None or drawn >= wanted:
        return []
    told = f"got {wanted}; the axes gave {drawn} different ones in {100 * wanted} draws"
    ranges = any(axis.low is not None for axis in config.axes.values())
    return [Problem("design.samples", told, f"samples: {drawn}" + ("" if ranges else ", or design: {kind: grid}"))]


def _wrong_levels(config: StudyConfig, axes: Mapping[str, Levels]) -> list[Problem]:
    """Find baselines, and levels of listed runs, targets and forecasts, that are no level of their axis."""
    named = [(f"axes.{name}.baseline", name, axis.baseline) for name, axis in config.axes.items()]
    named += [
        (f"design.runs[{number}].{axis}", axis, level)
        for number, run in enumerate(config.design.runs)
        for axis, level in run.items()
    ]
    named += [(f"stop.target_level.{axis}", axis, level) for axis, level in (config.stop.target_level or {}).items()]
    if (mixes := config.analyse.mixes) is not None:
        named += [(f"analyse.mixes.forecast[{n}]", mixes.mix, level) for n, level in enumerate(mixes.forecast)]
    if (scaling := config.analyse.scaling) is not None:
        named += [(f"analyse.scaling.forecast[{n}]", scaling.rung, level) for n, level in enumerate(scaling.forecast)]
    if (schedules := config.analyse.schedules) is not None:
        named.append(("analyse.schedules.trunk", schedules.schedule, schedules.trunk))
    problems = []
    for field, axis, level in named:
        if level is not None and axis in axes and axes[axis] and level not in axes[axis]:
            near = suggest(level, list(axes[axis]))
            fix = f"did you mean {near}?" if near else f"there are: {', '.join(axes[axis])}"
            problems.append(Problem(field, f"got {level!r}; the axis has no such level", fix))
    return problems


def _shown(value: Any) -> str:
    """Return a value as the name of its level."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}".replace("e+", "e")
    return value if isinstance(value, str) else json.dumps(value)


def run_name(levels: Iterable[str], seed: int) -> str:
    """Return the name of a run: its level of each axis in order, and its seed."""
    return "-".join([*map(_slug, levels), f"s{seed}"])


def _slug(level: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "_", level).strip("_") or "_"


def _twice(names: Sequence[str]) -> list[str]:
    folded = [name.casefold() for name in names]
    return sorted({name for name in names if folded.count(name.casefold()) > 1})
