"""Check a finished study from its folder alone: every run, then that its results are those that the runs and the analyses give."""

import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pellucid.core.artifacts import Manifest, find_faults, read_manifest
from pellucid.core.environment import code_version, source_of
from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import json_bytes, read_json
from pellucid.core.ledger import LEDGER, read_ledger
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
from pellucid.studies.design import PlannedRun, level_names, run_name
from pellucid.studies.results import RunResult, runs_from_json
from pellucid.verify.findings import Findings, guarded

__all__ = ["differences", "verify_study"]

# What other processors and libraries may give otherwise is far below what a figure is printed with.
_LIKE, _NOTHING = 1e-6, 1e-12
_PROVES = "what the study says is what its runs and the analyses give, and what its page shows"
_PROVES_LESS = "what the study knows of its runs is what they give; what it says of them was not made by this version"
_AGAIN = "`pellucid report` of the study makes it again"
_DRAWING = re.compile(r"<svg.*?</svg>", re.DOTALL)


def verify_study(folder: Path, *, deep: bool = False) -> Verification:
    """Check every run as `verify_run` does, and what the study says of them; nothing is written.

    What is known of runs is collected again and must be the same. It is analysed again, where figures may differ by a millionth,
    and the page is written again, where drawings may differ. What another version of the code made otherwise is noted.
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
    findings = Findings("results", _PROVES, "figures")
    path = folder / RESULTS
    if not path.is_dir():
        findings.note("the study has no results yet; `pellucid report` of it makes them")
        return findings
    findings.checked.append(RESULTS)
    guarded(findings, path, lambda: _whole(path, findings))
    if not findings.faults:
        guarded(findings, path, lambda: _compare(folder, findings))
    return findings


def _whole(path: Path, findings: Findings) -> None:
    for fault in find_faults(path):
        findings.fault(path, fault)


def _compare(folder: Path, findings: Findings) -> None:
    path, file = folder / RESULTS, folder / STUDY_FILE
    config = parse_resolved_study(file, file.read_text())
    recorded = read_manifest(path, "study")
    if asked(StudyConfig.model_validate(recorded.config)) != asked(config):
        findings.fault(path, f"is of another study than {file}", _AGAIN)
        return
    raw = read_json(path / "runs.json")
    runs = runs_from_json(raw)
    _compare_design(path / "runs.json", config, runs, findings)
    stale: list[str] = []
    for run, values in zip(runs, raw, strict=True):

        def check(run: RunResult = run, values: dict[str, Any] = values) -> None:
            faults = _faults_of_run(folder, config, run, values, findings)
            if faults and _went_on(folder / RUNS / run.name, recorded.started_at):
                stale.append(run.name)
            else:
                findings.faults += faults

        guarded(findings, folder / RUNS / run.name, check)
    if stale:
        findings.fault(path, f"is older than what {', '.join(stale)} did since", _AGAIN)
    _compare_analyses(folder, config, runs, recorded, findings)


def _compare_analyses(folder: Path, config: StudyConfig, runs: list[RunResult], recorded: Manifest, findings: Findings) -> None:
    """Analyse again and write the page again. What another version says otherwise is no fault, but neither does it hold."""
    file, page = folder / RESULTS / "study.json", folder / PAGE
    told, again = read_json(file), orjson.loads(json_bytes(analyse(config, runs)))
    found = [
        f"{file} says {place} = {_short(one)}; the analyses give {_short(other)} of runs.json; {_AGAIN}"
        for place, one, other in differences(told, again)
    ]
    drawings = ""
    if page.is_file():
        same, drawings = _compare_page(page, told)
        found += [] if same else [f"{page} is not the page of study.json; {_AGAIN}"]
    findings.looked += _figures(told)
    findings.notes += [drawings] if drawings else []
    made_by = recorded.inputs.get("code", "")
    if made_by == source_of(code_version()):
        findings.faults += found
    elif found:
        findings.proves = _PROVES_LESS
        findings.note(f"results were made by version {made_by}, which this is not; {len(found)} things are other here: {found[0]}")


def _compare_design(file: Path, config: StudyConfig, runs: Sequence[RunResult], findings: Findings) -> None:
    """The runs are those that the study asks for, each once; levels that follow from the base are taken as they appear."""
    axes = list(config.axes)
    there = [(*(run.levels.get(axis, "") for axis in axes), str(run.seed)) for run in runs]
    seen = {axis: list(dict.fromkeys(run.levels.get(axis, "") for run in runs)) for axis in axes}
    known = {axis: level_names(config.axes[axis]) or seen[axis] for axis in axes}
    if config.design.kind == "grid":
        levels = list(product(*known.values()))
    elif config.design.kind == "list":
        levels = [tuple(run[axis] for axis in axes) for run in config.design.runs]
    else:
        levels = list(dict.fromkeys(one[:-1] for one in there))
        if len(levels) != config.design.samples:
            findings.fault(file, f"has {len(levels)} draws, and the study has {config.design.samples}")
    wanted = {(*one, str(seed)) for one in levels for seed in config.seeds}
    for what, names in (("lacks", wanted - set(there)), ("has, and the study has not,", set(there) - wanted)):
        if names:
            findings.fault(file, f"{what} {', '.join('-'.join(one[:-1]) + f' of seed {one[-1]}' for one in sorted(names)[:6])}")
    if len(set(there)) != len(there):
        findings.fault(file, "has a run twice")


def _faults_of_run(folder: Path, config: StudyConfig, told: RunResult, values: dict[str, Any], findings: Findings) -> list[str]:
    """Collect a run again; its name ties the levels to the recipe, whose digest is in the run's ledger."""
    file, run = folder / RESULTS / "runs.json", folder / RUNS / told.name
    if told.name != run_name([told.levels[axis] for axis in config.axes], told.seed):
        return [f"{file} says of {told.name} the levels {dict(told.levels)} and seed {told.seed}, which is another run"]
    if not (run / RECIPE_FILE).is_file():
        gone = f"{run} is not there, and {file} says that it is {told.outcome}; restore it from a copy"
        return [] if told.outcome == "not begun" else [gone]
    loaded = _loaded(run)
    if told.outcome == "not begun" and told.recipe not in ("", loaded.digest):
        findings.note(f"{told.name} was not begun; in its folder lies what an earlier form of the study left")
        return []
    if (loaded.recipe.seed, loaded.recipe.name) != (told.seed, f"{config.name}-{told.name}"):
        return [f"{run / RECIPE_FILE} is of {loaded.recipe.name} with seed {loaded.recipe.seed}, not of {told.name}"]
    ended = folder / OUTCOMES / f"{told.name}.json"
    known: dict[str, Any] = read_json(ended) if ended.is_file() else {"outcome": "not begun", "message": told.message}
    planned = PlannedRun(told.name, dict(told.levels), told.seed, loaded)
    again = collect_run(planned, run, known["outcome"], known["message"]).to_json()
    findings.looked += _figures(again)
    return [
        f"{file} says of {told.name}: {name}: {_short(value)}; its folder gives {_short(again[name])}"
        for name, value in values.items()  # those that the version had which wrote them
        if json_bytes(value) != json_bytes(again[name])
    ]


def _went_on(run: Path, since: str) -> bool:
    """Tell whether a run's ledger has a line from after a time."""
    return any(event.get("at", "") > since for event in read_ledger(run / LEDGER)) if (run / LEDGER).is_file() else False


def _compare_page(page: Path, told: dict[str, Any]) -> tuple[bool, str]:
    """Return whether a page is that of what the study says, and what is to be noted of that."""
    with TemporaryDirectory() as place:
        try:
            write_study_page(told, Path(place) / "index.html")
        except MissingExtraError as error:
            return True, f"the page is not made again: {error}"
        again = (Path(place) / "index.html").read_text()
    there = page.read_bytes().decode(errors="replace")
    if there == again:
        return True, ""
    if _DRAWING.sub("", there) == _DRAWING.sub("", again):
        return True, f"{page} has other drawings than are made here; other versions of matplotlib draw otherwise"
    return False, ""


def _loaded(run: Path) -> LoadedRecipe:
    path = run / RECIPE_FILE
    try:
        recipe, values = parse_resolved(path, path.read_text())
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8: {error}") from error
    return LoadedRecipe(recipe, path, run, {}, {}, values_digest(values))


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where plain values differ, numbers by more than a millionth of the larger and 1e-12: the place, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{place}.{key}" if place else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{place}[{number}]")
    elif isinstance(one, float) and isinstance(other, float | int):
        if not math.isclose(one, other, rel_tol=_LIKE, abs_tol=_NOTHING):
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
