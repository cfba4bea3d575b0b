"""What cannot work of a study, whatever its recipes are: forms of axes, designs, analyses that ask for an axis there is not."""

from collections.abc import Iterator

from pellucid.core.errors import Problem
from pellucid.recipe.merge import suggest
from pellucid.recipe.study import AxisConfig, StudyConfig

__all__ = ["check_study"]

_OWN_KEYS = {"name": "runs are named after their levels", "seed": "seeds: lists them"}


def check_study(config: StudyConfig) -> list[Problem]:
    """Return every problem of a study's own values."""
    problems = [one for name, axis in config.axes.items() for one in _axis(name, axis, config)]
    problems += _own_keys("set", config.set)
    problems += _design(config)
    problems += _seeds(config)
    problems += _asked(config)
    return problems


def _axis(name: str, axis: AxisConfig, config: StudyConfig) -> Iterator[Problem]:
    """An axis has exactly one form."""
    is_range = axis.low is not None or axis.high is not None
    forms = {
        "values": bool(axis.values),
        "levels": axis.levels is not None,
        "mixes": axis.mixes is not None,
        "leave_out": axis.leave_out is not None,
        "low and high": is_range,
    }
    given = [form for form, there in forms.items() if there]
    field = f"axes.{name}"
    if len(given) != 1:
        count = f"has {' and '.join(given)}" if given else "has no levels"
        yield Problem(
            field, f"{count}; must have exactly one of {', '.join(forms)}", "values: [1e-3, 2e-3] with a key, for example"
        )
        return
    if axis.key is not None and given[0] not in ("values", "low and high"):
        yield Problem(f"{field}.key", f"got {axis.key!r}; {given[0]} name the keys themselves", "leave it out")
    if axis.levels is not None:
        if not axis.levels:
            yield Problem(f"{field}.levels", "must hold at least 1")
        for level, settings in axis.levels.items():
            yield from _own_keys(f"{field}.levels.{level}", settings)
    elif axis.values or is_range:
        yield from _own_keys(field, {axis.key or name: None})
    if any(isinstance(value, dict | list) for value in axis.values):
        yield Problem(f"{field}.values", "holds a list or a mapping, which has no name", "write levels: {NAME: {KEY: VALUE}}")
    if any(value in axis.values[:number] for number, value in enumerate(axis.values)):
        yield Problem(f"{field}.values", "holds a value twice", "each is one level")
    if is_range:
        yield from _range(field, axis, config)
    elif axis.whole:
        yield Problem(f"{field}.whole", "is for low and high; the axis lists its levels", "leave it out")


def _range(field: str, axis: AxisConfig, config: StudyConfig) -> Iterator[Problem]:
    if config.design.kind != "random":
        yield Problem(
            field, f"is a range, and design.kind is {config.design.kind}", "design: {kind: random, samples: 20}; or values"
        )
    if axis.low is None or axis.high is None:
        yield Problem(field, "has one end of a range", "give low and high")
    elif axis.low >= axis.high:
        yield Problem(f"{field}.low", f"got {axis.low:g}; must be less than high = {axis.high:g}")
    elif axis.whole and (axis.low % 1 or axis.high % 1):
        yield Problem(f"{field}.whole", f"got ends {axis.low:g} and {axis.high:g}; must be whole numbers as well")
    elif axis.scale == "log" and axis.low <= 0:
        yield Problem(f"{field}.low", f"got {axis.low:g}; must be more than 0 on a logarithmic scale", "scale: linear")


def _own_keys(field: str, settings: dict[str, object]) -> Iterator[Problem]:
    for written in settings:
        key = written.strip()
        if key in _OWN_KEYS:
            yield Problem(f"{field}.{key}" if key not in field else field, f"cannot set {key}: {_OWN_KEYS[key]}", "leave it out")


def _design(config: StudyConfig) -> Iterator[Problem]:
    design, axes = config.design, list(config.axes)
    for form, there in (("runs", bool(design.runs)), ("samples", design.samples is not None)):
        belongs = {"runs": "list", "samples": "random"}[form]
        if there and design.kind != belongs:
            yield Problem(f"design.{form}", f"is for kind: {belongs}, and kind is {design.kind}", "leave out one of the two")
        elif not there and design.kind == belongs:
            example = "runs: [{AXIS: LEVEL}]" if form == "runs" else "samples: 20"
            yield Problem(f"design.{form}", f"missing; kind is {design.kind}", example)
    if design.kind == "random" and not axes:
        yield Problem("axes", "missing; there is nothing to draw", "axes: {peak_lr: {key: …, low: 1e-4, high: 1e-2, scale: log}}")
    for number, run in enumerate(design.runs):
        for axis in run:
            if axis not in axes:
                yield _no_axis(f"design.runs[{number}].{axis}", axis, axes)
        for axis in axes:
            if axis not in run:
                yield Problem(f"design.runs[{number}].{axis}", "missing; every run has a level of every axis")


def _seeds(config: StudyConfig) -> Iterator[Problem]:
    for number, seed in enumerate(config.seeds):
        if not 0 <= seed < 2**32:
            yield Problem(f"seeds[{number}]", f"got {seed}; must be 0 to {2**32 - 1}")
        if seed in config.seeds[:number]:
            yield Problem(f"seeds[{number}]", f"got {seed}, which is there already", "seeds are different numbers")


def _asked(config: StudyConfig) -> Iterator[Problem]:
    """Analyses and stop rules ask for axes that there are."""
    axes, analyse, target = list(config.axes), config.analyse, config.stop.target_level
    asked: list[tuple[str, str | None]] = []
    if analyse.schedules is not None:
        asked += [
            ("analyse.schedules.schedule", analyse.schedules.schedule),
            ("analyse.schedules.length", analyse.schedules.length),
        ]
    if analyse.mixes is not None:
        asked.append(("analyse.mixes.mix", analyse.mixes.mix))
    if analyse.batch_size is not None:
        asked.append(("analyse.batch_size.batch", analyse.batch_size.batch))
    if analyse.continued is not None:
        asked.append(("analyse.continued.factor", analyse.continued.factor))
    if analyse.scaling is not None:
        asked.append(("analyse.scaling.rung", analyse.scaling.rung))
    asked += [(f"stop.target_level.{axis}", axis) for axis in target or ()]
    for field, axis in asked:
        if axis is not None and axis not in axes:
            yield _no_axis(field, axis, axes)
        elif axis is not None and field.startswith("analyse."):
            yield from _first_is_baseline(field, axis, config.axes[axis])
    if target is not None and config.stop.target_loss is not None:
        yield Problem("stop.target_loss", "the study has stop.target_level as well", "keep one of the two")
    if target is not None and set(target) != set(axes):
        missing = [axis for axis in axes if axis not in target]
        if missing:
            yield Problem("stop.target_level", f"names no level of {', '.join(missing)}", "it must name one run of each seed")


def _first_is_baseline(field: str, name: str, axis: AxisConfig) -> Iterator[Problem]:
    """Analyses compare with the first level; a baseline elsewhere would stand beside another one on the same page."""
    first = next(iter(axis.levels), None) if axis.levels else None
    if axis.baseline is not None and first is not None and axis.baseline != first:
        told = f"got {axis.baseline!r}; {field} compares with the first level, which is {first!r}"
        yield Problem(f"axes.{name}.baseline", told, "write the baseline as the first of the levels")


def _no_axis(field: str, axis: str, axes: list[str]) -> Problem:
    near = suggest(axis, axes)
    fix = f"did you mean {near}?" if near else f"axes are: {', '.join(axes)}" if axes else "the study has no axes"
    return Problem(field, f"got {axis!r}; there is no such axis", fix)
