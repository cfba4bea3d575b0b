"""A study's flow: every run that its axes ask for, what they share made once; then what they say, and a page."""

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import torch

from pellucid.core.artifacts import Key, building, is_current
from pellucid.core.environment import code_version, source_of
from pellucid.core.errors import ArtifactError, PellucidWarning, UsageError
from pellucid.core.files import json_bytes, read_json, write_bytes
from pellucid.core.lock import run_lock
from pellucid.core.processes import end_workers, run_apart, run_tasks
from pellucid.core.progress import ProgressBar, console, progress
from pellucid.recipe.resolved import STUDY_FILE, resolved_text
from pellucid.recipe.study import StudyConfig
from pellucid.report.study.page import write_study_page
from pellucid.stages.curves import check_curves
from pellucid.stages.study_run import OUTCOMES, RUNS, RunTask, make_run, prepare_run
from pellucid.studies.analyse import analyse
from pellucid.studies.collect import collect_run, made_with
from pellucid.studies.design import LoadedStudy, PlannedRun
from pellucid.studies.plan import RunPlan, StudyPlan, plan_study
from pellucid.studies.results import Outcome, RunResult, runs_from_json
from pellucid.train.world import open_world, started_together

__all__ = ["PAGE", "RESULTS", "asked", "prepare_study", "run_study", "tell_study"]

RESULTS = "results"
PAGE = "report/index.html"
_LOOK_S = 2.0
_TAIL_BYTES = 8192


class _Made(NamedTuple):
    """How one run ended."""

    name: str
    outcome: Outcome
    message: str


def run_study(study: LoadedStudy, runs: Path, only: Sequence[str] = ()) -> None:
    """Make every run that is not made, then analyse them and write the page; with `only` make those runs, and no more.

    Called again after a stop or a kill it repeats nothing that was finished. Runs that failed stay as they are: they are results.
    Raises `UsageError` for a run that the study has not.
    """
    folder, plan = runs / study.config.name, plan_study(study)
    known = [run.name for run in study.runs]
    if wrong := [name for name in only if name not in known]:
        raise UsageError(f"the study has no run {wrong[0]!r}; it has {', '.join(known[:12])}{', …' if len(known) > 12 else ''}")
    if started_together() > 1:
        _train_together(study, plan, folder, only)
        return
    for run in study.runs:
        check_curves(run.loaded)
    folder.mkdir(parents=True, exist_ok=True)
    _keep_study(study, folder)
    wanted = [[one for one in wave if not only or one.run.name in only] for wave in plan.waves]
    made = {one.name: one for one in _make(study, plan, [wave for wave in wanted if wave], folder)}
    if not only:
        tell_study(study, runs, made)


def asked(config: StudyConfig) -> dict[str, Any]:
    """Return what of a study its results are a function of, beside the runs: all but how the runs were spread."""
    return config.model_dump(mode="json", exclude={"work"})


def _keep_study(study: LoadedStudy, folder: Path) -> None:
    write_bytes(folder / STUDY_FILE, resolved_text(study.config.model_dump(mode="json")).encode())


def prepare_study(study: LoadedStudy, runs: Path) -> None:
    """Make what comes before training for all runs: text, vocabularies, shards, each once for those that have the same."""
    plan, folder = plan_study(study), runs / study.config.name
    _prepare([_task(one, study, folder, 1, with_target=False) for one in plan.runs])


def _train_together(study: LoadedStudy, plan: StudyPlan, folder: Path, only: Sequence[str]) -> None:
    """Make one run with the processes that torchrun started."""
    if len(only) != 1:
        raise UsageError(f"{started_together()} processes were started together, which train one run: give --only RUN")
    found = [one for one in plan.runs if one.run.name == only[0]]
    if not found:
        raise UsageError(f"the budget leaves {only[0]} out")
    if found[0].target is not None and not _is_done(found[0].target, study, folder):
        raise UsageError(f"{found[0].target}, at whose loss {only[0]} is to end, has not come to its end; run it first")
    threads = study.config.work.threads or torch.get_num_threads()
    with open_world() as world:
        if world.is_first:
            _warn_of_threads(study, found, threads, folder)
        ended = make_run(_task(found[0], study, folder, threads), world)
        if world.is_first:
            console.print(f"{only[0]:<28}{ended['outcome']:<12}{ended['message']}", soft_wrap=True)


def tell_study(study: LoadedStudy, runs: Path, made: dict[str, _Made] | None = None) -> None:
    """Analyse the runs that there are, and write `results/` and the page."""
    folder = runs / study.config.name
    if made is None:
        left_out = {one.run.name: _Made(one.run.name, "not begun", one.left_out) for one in plan_study(study).left_out}
        made = {**left_out, **_found(study, folder)}
    with run_lock(folder):
        found = [_collected(run, folder, made.get(run.name)) for run in study.runs]
        raw = json_bytes([run.to_json() for run in found])
        # Analysed again by other code: that takes seconds, and analyses are what changes most.
        inputs = {"runs": sha256(raw).hexdigest(), "code": source_of(code_version())}
        key = Key("study", 1, study.config.compare.seed, asked(study.config), inputs)
        path = folder / RESULTS
        _keep_study(study, folder)
        if is_current(path, key):
            console.print("[dim]results       unchanged[/dim]")
        else:
            with progress("study: analysing"), building(path, key) as build:
                # Of what is written down, so that anybody's reading of it gives the same.
                told = analyse(study.config, runs_from_json(orjson.loads(raw)))
                write_bytes(build.path / "runs.json", raw)
                write_bytes(build.path / "study.json", json_bytes(told))
                build.summary.update(told["cost"]["outcomes"])
        write_study_page(read_json(path / "study.json"), folder / PAGE)
    console.print(f"\n  look at    {folder / PAGE}", soft_wrap=True)


def _make(study: LoadedStudy, plan: StudyPlan, waves: Sequence[Sequence[RunPlan]], folder: Path) -> Iterator[_Made]:
    """Make the runs wave by wave, and yield how each ended."""
    work = study.config.work
    threads = work.threads or max(1, torch.get_num_threads() // work.workers)
    ended_before = _found(study, folder)
    _warn_of_threads(study, [one for wave in waves for one in wave], threads, folder)
    for one in plan.left_out:
        made = ended_before.get(one.run.name) or _not_made(one.run, folder, one.left_out)
        console.print(f"{made.name:<28}{made.outcome:<12}{made.message}", soft_wrap=True)
        yield made
    begun = [one for wave in waves for one in wave]
    with progress(f"study {study.config.name}", sum(one.tokens for one in begun), "tokens") as bar, _watched(bar, begun, folder):
        if work.workers > 1 or work.engine != "local":
            _prepare([_task(one, study, folder, threads, with_target=False) for wave in waves for one in wave])
        for wave in waves:
            without = [one for one in wave if one.target is not None and not _is_done(one.target, study, folder)]
            for one in without:
                told = f"{one.target}, at whose loss it is to end, has not come to its end"
                made = _not_made(one.run, folder, told)
                console.print(f"{made.name:<28}{made.outcome:<12}{told}", soft_wrap=True)
                yield made
            tasks = [_task(one, study, folder, threads) for one in wave if one not in without]
            for number, ended in _spread(tasks, work.workers, work.engine):
                name = tasks[number].run.name
                console.print(f"{name:<28}{ended['outcome']:<12}{_remark(tasks[number], ended)}", soft_wrap=True)
                yield _Made(name, ended["outcome"], ended["message"])
    end_workers()


def _prepare(tasks: Sequence[RunTask]) -> None:
    """Make the data that runs share before they begin side by side: each of them would make its own."""
    for task in {_data_of(task): task for task in reversed(tasks)}.values():
        run_apart(prepare_run, task, task.run.name)


def _data_of(task: RunTask) -> bytes:
    """Return what the stages before training are a function of, and perhaps more: the text that is read, and how."""
    recipe = task.run.loaded.recipe
    named = {"sources", "conversations", "chat", "documents", "tokenizer", "shards", "seed"}
    stages = [(one.objective, one.seq_tokens, one.conversations) for one in recipe.train]
    return json_bytes([recipe.model_dump(mode="json", include=dict.fromkeys(named, True)), recipe.model.context_tokens, stages])


def _spread(tasks: Sequence[RunTask], workers: int, engine: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield how runs ended, side by side or one after the other, each in a process that leaves its memory behind when it ends."""
    if workers > 1 or engine != "local":
        yield from run_tasks(make_run, tasks, workers, engine=engine, name=lambda task: task.run.name)
        return
    for number, task in enumerate(tasks):
        yield number, run_apart(make_run, task, task.run.name)


def _task(plan: RunPlan, study: LoadedStudy, folder: Path, threads: int, *, with_target: bool = True) -> RunTask:
    config = study.config
    is_target = plan.target is None
    return RunTask(
        run=plan.run,
        study=folder,
        threads=threads,
        stop=config.stop.model_copy(update={"target_loss": None, "target_level": None}) if is_target else config.stop,
        target_loss=_target(plan, study, folder) if with_target else None,
        begins_with=plan.begins_with,
        budget_cpu_hours=config.budget.cpu_hours,
        noise_seqs=config.analyse.batch_size.noise_seqs if config.analyse.batch_size and config.analyse.batch_size.noise else None,
    )


def _is_done(name: str, study: LoadedStudy, folder: Path) -> bool:
    made = _found(study, folder).get(name)
    return made is not None and made.outcome == "done"


def _target(plan: RunPlan, study: LoadedStudy, folder: Path) -> float | None:
    """Return the loss at which a run ends: the study's, or that with which another, which is done, ended."""
    if plan.target is None:
        return study.config.stop.target_loss
    other = next(run for run in study.runs if run.name == plan.target)
    return collect_run(other, folder / RUNS / other.name, "done").final_loss(study.config.compare.loss_steps)


def _warn_of_threads(study: LoadedStudy, wanted: Sequence[RunPlan], threads: int, folder: Path) -> None:
    """Say that runs which are there were trained with another number of threads than those that are still to be trained."""
    ended = _found(study, folder)
    if all(one.run.name in ended and ended[one.run.name].outcome != "failed" for one in wanted):
        return
    others: dict[int, list[str]] = {}
    for run in study.runs:
        used = {made["settings"].get("threads", threads) for made in made_with(run, folder / RUNS / run.name)}
        for count in sorted(used - {threads}):
            others.setdefault(count, []).append(run.name)
    for count, names in others.items():
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        warnings.warn(
            f"{len(names)} of the study's runs were trained with {count} threads ({some}); what is trained now has {threads}, "
            f"which can give other bits; --set work.threads={count} goes on as before",
            PellucidWarning,
            stacklevel=2,
        )


def _remark(task: RunTask, ended: dict[str, Any]) -> str:
    file = task.folder / "scores" / "heldout.json"
    if ended["outcome"] != "done" or not file.is_file():
        return str(ended["message"])
    return f"{read_json(file)['bits_per_byte']['all']:.4f} bits per byte"


def _found(study: LoadedStudy, folder: Path) -> dict[str, _Made]:
    """Return how the runs ended that have ended with the recipe that they have now, from what is written down."""
    found = {}
    for run in study.runs:
        file = folder / OUTCOMES / f"{run.name}.json"
        try:
            ended = read_json(file) if file.is_file() else None
            if ended is not None and ended["rules"]["recipe"] == run.loaded.digest:
                found[run.name] = _Made(run.name, ended["outcome"], ended["message"])
        except (ArtifactError, KeyError, TypeError):
            continue  # damaged: the run is made again, or found made
    return found


def _not_made(run: PlannedRun, folder: Path, why: str) -> _Made:
    """Return that a run is not made, and whether any of it was trained."""
    return _Made(run.name, collect_run(run, folder / RUNS / run.name, "not begun").outcome, why)


def _collected(run: PlannedRun, folder: Path, made: _Made | None) -> RunResult:
    if made is None:
        made = _Made(run.name, "not begun", "")
    return collect_run(run, folder / RUNS / run.name, made.outcome, made.message)


@contextmanager
def _watched(bar: ProgressBar, runs: Sequence[RunPlan], folder: Path) -> Iterator[None]:
    """Move the bar by what runs write down, whichever process they are in."""
    ended = threading.Event()
    done = _trained(runs, folder)
    bar.resume_at(done)

    def look() -> None:
        nonlocal done
        while not ended.wait(_LOOK_S):
            now = _trained(runs, folder)
            bar.advance(max(0, now - done))
            done = max(done, now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _trained(runs: Sequence[RunPlan], folder: Path) -> float:
    """Return the tokens of their own that runs have behind them: without those that others train for them."""
    done = 0.0
    for one in runs:
        place, stages = folder / RUNS / one.run.name, one.run.loaded.recipe.train
        behind = sum(_last_tokens(place / stage.name / "metrics.jsonl") for stage in stages)
        of_others = one.begins_with[1].tokens if one.begins_with is not None else 0
        done += min(one.tokens, max(0, behind - of_others))
    return done


def _last_tokens(path: Path) -> int:
    """Return `tokens` of the last whole line that has them; 0 without."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if "tokens" in record:
            return int(record["tokens"])
    return 0
