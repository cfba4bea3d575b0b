"""One run of a study, in whatever process: its stages in order, what it shares taken from others, its outcome written down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pellucid.core.attempts import attempts_of
from pellucid.core.errors import ArtifactError, DataError, TrainingError
from pellucid.core.files import read_json, write_bytes, write_json
from pellucid.core.ledger import LEDGER, read_ledger
from pellucid.core.lock import run_lock
from pellucid.core.processes import end_workers
from pellucid.core.progress import console
from pellucid.core.settle import settle
from pellucid.recipe.study import StopConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.account import ACCOUNT
from pellucid.stages.chat_format import keep_template
from pellucid.stages.evaluate import EVALUATE
from pellucid.stages.flow import stages_of
from pellucid.stages.knowing import check_facts
from pellucid.stages.noise import measure_noise
from pellucid.stages.plan import PLAN
from pellucid.stages.run_folder import RECIPE_FILE, dump_recipe
from pellucid.stages.shared import begin_with, is_begun, keep_shared, take_shared
from pellucid.stages.stage import Context, Stage, run_stage
from pellucid.studies.collect import BEFORE_TRAINING, collect_run
from pellucid.studies.design import PlannedRun
from pellucid.studies.sharing import Beginning
from pellucid.train.stage import Probe
from pellucid.train.state import TrainState
from pellucid.train.stop_rule import RuleStopError, StopRule
from pellucid.train.world import World

__all__ = ["OUTCOMES", "RUNS", "SHARED", "RunTask", "known_outcome", "make_run", "prepare_run"]

OUTCOMES, SHARED, RUNS = "outcomes", "shared", "runs"

# They say something of the run; every other error ends the study.
_FINDINGS = (TrainingError, DataError)


@dataclass(frozen=True)
class RunTask:
    """A run to be made in a study's folder. `begins_with` is a finished run's name and what of it is this one's beginning too."""

    run: PlannedRun
    study: Path
    threads: int
    stop: StopConfig
    target_loss: float | None = None
    begins_with: tuple[str, Beginning] | None = None
    budget_cpu_hours: float | None = None
    noise_seqs: int | None = None

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.study / RUNS / self.run.name

    @property
    def outcome(self) -> Path:
        """Where it is written how the run ended: beside the runs, whose folders hold what any run's holds and nothing else."""
        return self.study / OUTCOMES / f"{self.run.name}.json"

    @property
    def rules(self) -> dict[str, Any]:
        """What decides how a run ends, beside its recipe."""
        return {"recipe": self.run.loaded.digest, "stop": self.stop.model_dump(mode="json"), "target_loss": self.target_loss}


def known_outcome(task: RunTask) -> dict[str, Any] | None:
    """Return how a run ended that ended for good under these rules; None for one that is to be made, or gone on with."""
    found = _written_outcome(task)
    return found if found is not None and found["rules"] == task.rules else None


def _written_outcome(task: RunTask) -> dict[str, Any] | None:
    """Return what is written down of a run's end, under whatever rules; None where there is nothing, or it is damaged."""
    if not task.outcome.is_file():
        return None
    try:
        found = read_json(task.outcome)
    except ArtifactError:
        return None
    is_whole = isinstance(found, dict) and {"outcome", "message", "rules"} <= found.keys() and isinstance(found["rules"], dict)
    return found if is_whole and "recipe" in found["rules"] else None


def _open(task: RunTask, world: World) -> Context:
    """Write the run's recipe into its folder, which must be held, and return what its stages are run with."""
    loaded, folder = task.run.loaded, task.folder
    if world.is_first:
        write_bytes(folder / RECIPE_FILE, dump_recipe(loaded).encode())
        keep_template(loaded, folder)
        check_facts(loaded)
        settle(folder, holds_run=True)

    def probe(stage: TrainStageConfig, out: Path) -> Probe | None:
        if stage.name != loaded.recipe.train[-1].name:
            return None
        rule = _rule(task, out)
        return rule if world.size == 1 else partial(_decide_together, rule, world)

    return Context(loaded, folder, world, probe)


def _decide_together(rule: StopRule, world: World, state: TrainState) -> None:
    """Let the first rank, which writes the file that the rule reads, decide for all."""
    if rule.is_due(state.progress.step):
        _first_alone(world, partial(rule, state), RuleStopError)


def _first_alone(world: World, work: Callable[[], None], *kinds: type[Exception], until: str = "") -> None:
    """Let the first rank work; what it raises of these kinds, all raise alike. `until` names what is waited for without end."""
    told: Exception | None = None
    try:
        if world.is_first:
            work()
    except kinds as error:
        told = error
    if until:
        world.wait_for_first(until)
    told = world.tell(told)
    if told is not None:
        raise told


def _rule(task: RunTask, out: Path) -> StopRule:
    """Return what ends the run's last training stage, which lies in `out`, before its length."""
    return StopRule(task.stop, out / "metrics.jsonl", task.target_loss)


def make_run(task: RunTask, world: World = World()) -> dict[str, Any]:  # noqa: B008 (frozen)
    """Make one run, go on with it, or find it made; return how it ended: `outcome`, `message`, `rules`.

    A run that diverges ends as failed and is kept, one that a rule stops as stopped; one whose data cannot be used is failed until
    it is tried again, with the next call. Every other error is raised: a full disk is no finding. The number of threads is the
    task's, whoever runs it, so that the bits are the same.
    Several processes may train it: every rank of `world` calls this.
    """
    torch.set_num_threads(task.threads)
    with run_lock(task.folder) if world.is_first else nullcontext(), _quiet():
        found: dict[str, Any] | None = world.tell(_ended_before(task) if world.is_first else None)
        if found is not None:
            if world.is_first and found["outcome"] == "stopped":
                _measure_noise(task)  # which may have been asked for since
            return found
        context = _open(task, world)
        try:
            _stages(task, context)
            ended: dict[str, Any] = {"outcome": "done", "message": ""}
        except RuleStopError as stop:
            ended = {"outcome": "stopped", "message": str(stop)}
        except _FINDINGS as error:
            # Training would diverge again; data may have been out of reach, and are tried again.
            final = isinstance(error, TrainingError)
            ended = {"outcome": "failed", "message": f"{type(error).__name__}: {error}", "is_final": final}
        told = {**ended, "rules": task.rules}
        if world.is_first:
            if ended["outcome"] != "failed":
                _measure_noise(task)
            run_stage(ACCOUNT, replace(context, world=World()))
            task.outcome.parent.mkdir(parents=True, exist_ok=True)
            write_json(task.outcome, told)
        world.wait_for_first(f"{task.run.name} is written down")
        return told


def _measure_noise(task: RunTask) -> None:
    if task.noise_seqs is not None:
        measure_noise(task.folder, task.run.loaded.recipe.train[-1], task.noise_seqs)


def _ended_before(task: RunTask) -> dict[str, Any] | None:
    """Return how a run ended that is not to be touched any more, or that there is no budget for."""
    found = known_outcome(task)
    if found is not None:
        return found if found["outcome"] == "stopped" or found.get("is_final") else None
    over = _over_budget(task)
    if not over:
        return None
    if (before := _written_outcome(task)) is not None and before["rules"]["recipe"] == task.run.loaded.digest:
        return before  # by other rules, for which there are no hours left
    return {"outcome": collect_run(task.run, task.folder, "not begun").outcome, "message": over}


def prepare_run(task: RunTask) -> None:
    """Make what comes before a run's training, for it and for all that have the same."""
    with run_lock(task.folder), _quiet(), suppress(*_FINDINGS):  # which the run itself will meet, and tell
        _before_training(task, _open(task, World()))


def _over_budget(task: RunTask) -> str:
    """Say that the study's runs have taken the core hours that they may; nothing while there are some left."""
    if task.budget_cpu_hours is None:
        return ""
    spent = 0.0
    for ledger in sorted((task.study / RUNS).glob(f"*/{LEDGER}")):
        spent += sum(one.cpu_s or 0.0 for one in attempts_of(read_ledger(ledger, checked=False), checked=False)) / 3600
    return f"budget.cpu_hours = {task.budget_cpu_hours:g} is spent: {spent:.3f}" if spent >= task.budget_cpu_hours else ""


def _stages(task: RunTask, context: Context) -> None:
    """Run the stages; of what other runs may have too, take what is there and leave what is made. Training is for all ranks."""
    world, alone = context.world, replace(context, world=World())
    stages = {stage.name: stage for stage in stages_of(task.run.loaded)}
    _first_alone(world, partial(_before_training, task, alone), *_FINDINGS, until=f"{task.run.name} has its data")
    for number, config in enumerate(context.recipe.train):
        stage, store = stages[config.name], task.study / SHARED
        if world.is_first and task.begins_with is not None and number == task.begins_with[1].stages and task.begins_with[1].steps:
            other, beginning = task.begins_with
            begin_with(stage, config, context, task.study / RUNS / other, beginning.steps)
        if world.is_first:
            take_shared(stage, context, store)
        if number == len(context.recipe.train) - 1:
            _first_alone(world, partial(_check_trained, task, stage, context), RuleStopError)
        run_stage(stage, context)
        if world.is_first:
            keep_shared(stage, context, store)
    if world.is_first and EVALUATE.name in stages:
        run_stage(EVALUATE, alone)


def _check_trained(task: RunTask, stage: Stage, context: Context) -> None:
    """Raise when what was trained already ends the run: before there was the rule, or by the run whose beginning it has."""
    if is_begun(stage, context):
        _rule(task, context.run / stage.folder).check()


def _before_training(task: RunTask, context: Context) -> None:
    run_stage(PLAN, context)
    for stage in stages_of(task.run.loaded):
        if stage.name in BEFORE_TRAINING:
            if not take_shared(stage, context, task.study / SHARED):
                run_stage(stage, context)
            elif stage.check_current is not None:
                stage.check_current(context)
            keep_shared(stage, context, task.study / SHARED)
    end_workers()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the lines of single stages from the terminal: the study shows one line for each run."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
