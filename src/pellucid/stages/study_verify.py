"""Check a finished study from its folder alone: every run, then that its results are those that the runs and the analyses give."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.environment import code_version
from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import json_bytes, read_json
from pellucid.core.progress import track
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.resolved import RECIPE_FILE, STUDY_FILE, parse_resolved, parse_resolved_study, values_digest
from pellucid.recipe.study import StudyConfig
from pellucid.report.study.page import write_study_page
from pellucid.stages.study import PAGE, RESULTS, asked
from pellucid.stages.study_run import OUTCOMES, RUNS
from pellucid.stages.verify import Verification, verify_run
from pellucid.studies.analyse import analyse
from pellucid.studies.collect import collect_run
from pellucid.studies.design import PlannedRun, run_name
from pellucid.studies.results import RunResult, runs_from_json
from pellucid.verify.findings import Findings, guarded

__all__ = ["differences", "verify_study"]

# What other processors and libraries may give otherwise is far below what a figure is printed with.
_LIKE = 1e-6
_DRAWING = re.compile(r"<svg.*?</svg>", re.DOTALL)


def verify_study(folder: Path, *, deep: bool = False) -> Verification:
    """Check every run as `verify_run` does, and what the study says of them; nothing is written.

    What is known of runs is collected again and must be the same. It is analysed again, where figures may differ by a millionth,
    and the page is written again, where drawings may differ; neither is compared where another version of the code made them.
    """
    started = time.monotonic()
    names = sorted(path.name for path in (folder / RUNS).glob("*") if path.is_dir() and not path.name.startswith("."))
    shown = track(names, "verify", len(names), "runs")
    of_runs = {name: verify_run(folder / RUNS / name, deep=deep, shows=False) for name in shown}
    checks = [*_by_check(of_runs), _outcomes(folder), _results(folder)]
    return Verification(
        checked=[f"{RUNS}/{name}/{one}" for name, found in of_runs.items() for one in found.checked] + checks[-1].checked,
        faults=list(dict.fromkeys(fault for one in checks for fault in one.faults)),
        checks=checks,
        notes=_notes(of_runs) + [note for one in checks[-2:] for note in one.notes],
        seconds=round(time.monotonic() - started, 3),
    )


def _by_check(of_runs: dict[str, Verification]) -> list[Findings]:
    """Return the checks of all runs added up."""
    found: dict[str, Findings] = {}
    for verification in of_runs.values():
        for one in verification.checks:
            whole = found.setdefault(one.name, Findings(one.name, one.proves, one.unit))
            whole.looked += one.looked
            whole.faults += one.faults
    return list(found.values())


def _notes(of_runs: dict[str, Verification]) -> list[str]:
    """Return what is noted of runs, each text once with how many runs it is of."""
    whose: dict[str, list[str]] = {}
    for name, found in of_runs.items():
        for note in found.notes:
            whose.setdefault(note, []).append(name)
    return [f"{note} ({len(names)} runs)" if len(names) > 1 else f"{names[0]}: {note}" for note, names in whose.items()]


def _outcomes(folder: Path) -> Findings:
    findings = Findings("outcomes", "every outcome that is written down is of the recipe that the run has", "runs")
    for file in sorted((folder / OUTCOMES).glob("*.json")):

        def check(file: Path = file) -> None:
            ended, run = read_json(file), folder / RUNS / file.stem
            if not (run / RECIPE_FILE).is_file():
                findings.fault(file, f"is of a run that is not there ({run})", "restore the run, or delete the file")
            elif ended["rules"]["recipe"] != _loaded(run).digest:
                findings.fault(file, "is of another recipe than the run has", "give `pellucid run` of the study again")

        findings.looked += 1
        guarded(findings, file, check)
    return findings


def _results(folder: Path) -> Findings:
    findings = Findings("results", "what the study says is what its runs and the analyses give, and what its page shows", "figures")
    path = folder / RESULTS
    if not path.is_dir():
        findings.note("the study has no results yet; `pellucid report` of it makes them")
        return findings
    findings.checked.append(RESULTS)
    for fault in find_faults(path):
        findings.fault(path, fault)
    if not findings.faults:
        guarded(findings, path, lambda: _compare(folder, findings))
    return findings


def _compare(folder: Path, findings: Findings) -> None:
    path, file = folder / RESULTS, folder / STUDY_FILE
    config = parse_resolved_study(file, file.read_text())
    recorded = read_manifest(path, "study")
    if asked(StudyConfig.model_validate(recorded.config)) != asked(config):
        findings.fault(path, f"is of another study than {file}", "`pellucid report` of the study makes it again")
        return
    raw = read_json(path / "runs.json")
    runs = runs_from_json(raw)
    if (wanted := _count(config, runs)) != len({run.name for run in runs}) or wanted != len(runs):
        findings.fault(path / "runs.json", f"has {len(runs)} runs, and the study has {wanted}", "restore it from a copy")
    for run, values in zip(runs, raw, strict=True):

        def check(run: RunResult = run, values: dict[str, Any] = values) -> None:
            _compare_run(folder, config, run, values, findings)

        guarded(findings, folder / RUNS / run.name, check)
    made_by = recorded.inputs.get("code")
    if made_by != code_version():
        findings.note(f"results were made by version {made_by}, this is {code_version()}: analyses and page are not made again")
        return
    told, again = read_json(path / "study.json"), orjson.loads(json_bytes(analyse(config, runs)))
    for place, one, other in differences(told, again):
        what = f"says {place} = {_short(one)}; the analyses give {_short(other)} of runs.json"
        findings.fault(path / "study.json", what, "`pellucid report` of the study makes it again")
    findings.looked += _figures(told)
    _compare_page(folder, findings)


def _count(config: StudyConfig, runs: Sequence[RunResult]) -> int:
    """Return how many runs the study asks for; levels that follow from the base are counted as they appear."""
    if config.design.kind == "list":
        return len(config.design.runs) * len(config.seeds)
    if config.design.kind == "random":
        return (config.design.samples or 0) * len(config.seeds)
    counts = [len(axis.levels or axis.values) or len({run.levels[name] for run in runs}) for name, axis in config.axes.items()]
    return math.prod(counts) * len(config.seeds)


def _compare_run(folder: Path, config: StudyConfig, told: RunResult, values: dict[str, Any], findings: Findings) -> None:
    """Collect a run again; its name ties the levels to the recipe, whose digest is in the run's ledger."""
    file, run = folder / RESULTS / "runs.json", folder / RUNS / told.name
    if told.name != run_name([told.levels[axis] for axis in config.axes], told.seed):
        findings.fault(file, f"says of {told.name} the levels {dict(told.levels)} and seed {told.seed}, which is another run")
        return
    if not (run / RECIPE_FILE).is_file():
        if told.outcome != "not begun":
            findings.fault(run, f"is not there, and {file} says that it is {told.outcome}", "restore it from a copy")
        return
    loaded = _loaded(run)
    if (loaded.recipe.seed, loaded.recipe.name) != (told.seed, f"{config.name}-{told.name}"):
        findings.fault(run / RECIPE_FILE, f"is of {loaded.recipe.name} with seed {loaded.recipe.seed}, not of {told.name}")
        return
    _compare_outcome(folder / OUTCOMES / f"{told.name}.json", told, findings)
    planned = PlannedRun(told.name, dict(told.levels), told.seed, loaded)
    again = collect_run(planned, run, "not begun" if told.outcome == "unfinished" else told.outcome, told.message)
    findings.looked += _figures(again.to_json())
    for name, value in values.items():  # those that the version had which wrote them
        if json_bytes(value) != json_bytes(again.to_json()[name]):
            findings.fault(file, f"says of {told.name}: {name}: {_short(value)}; its folder gives {_short(again.to_json()[name])}")


def _compare_outcome(file: Path, told: RunResult, findings: Findings) -> None:
    """Compare how a run is said to have ended with what was written down when it did; what has not ended wrote nothing."""
    ended = read_json(file) if file.is_file() else None
    if ended is None and told.outcome in ("done", "stopped", "failed"):
        findings.fault(file, f"is not there, and the results say that the run is {told.outcome}", "restore it from a copy")
    elif ended is not None and (ended["outcome"], ended["message"]) != (told.outcome, told.message):
        findings.fault(file, f"says {ended['outcome']!r}, {ended['message']!r}; the results say {told.outcome!r}, {told.message!r}")


def _compare_page(folder: Path, findings: Findings) -> None:
    page = folder / PAGE
    if not page.is_file():
        findings.note(f"there is no page {page}")
        return
    with TemporaryDirectory() as place:
        try:
            write_study_page(read_json(folder / RESULTS / "study.json"), Path(place) / "index.html")
        except MissingExtraError as error:
            findings.note(f"the page is not made again: {error}")
            return
        again = (Path(place) / "index.html").read_text()
    there = page.read_bytes().decode(errors="replace")
    if there != again and _DRAWING.sub("", there) == _DRAWING.sub("", again):
        findings.note(f"{page} has other drawings than are made here; other versions of matplotlib draw otherwise")
    elif there != again:
        findings.fault(page, "is not the page of study.json", "`pellucid report` of the study makes it again")


def _loaded(run: Path) -> LoadedRecipe:
    path = run / RECIPE_FILE
    try:
        recipe, values = parse_resolved(path, path.read_text())
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8: {error}") from error
    return LoadedRecipe(recipe, path, run, {}, {}, values_digest(values))


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where plain values differ, numbers by more than a millionth of the larger: the place, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{place}.{key}" if place else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{place}[{number}]")
    elif isinstance(one, float) and isinstance(other, float | int):
        if not math.isclose(one, other, rel_tol=_LIKE, abs_tol=_LIKE):
            yield place, one, other
    elif one != other:
        yield place, one, other


def _figures(value: Any) -> int:
    """Count the numbers in plain values."""
    if isinstance(value, dict):
        return _figures(value.values())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return sum(map(_figures, value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def _short(value: Any) -> str:
    text = json_bytes(value).decode().strip()
    return text if len(text) <= 60 else f"{text[:57]}…"
