"""The flow: a recipe's stages in order, in one run folder that one process holds at a time."""

import time
from contextlib import nullcontext
from pathlib import Path

from pellucid.core.errors import UsageError
from pellucid.core.files import write_bytes
from pellucid.core.lock import run_lock
from pellucid.core.progress import console
from pellucid.core.settle import settle
from pellucid.core.units import format_duration
from pellucid.recipe.load import LoadedRecipe
from pellucid.stages.account import ACCOUNT
from pellucid.stages.benchmarks import BENCHMARKS, check_benchmarks
from pellucid.stages.chat_format import keep_template
from pellucid.stages.conversations import CONVERSATIONS
from pellucid.stages.curves import check_curves
from pellucid.stages.documents import DOCUMENTS
from pellucid.stages.evaluate import EVALUATE
from pellucid.stages.export import EXPORT
from pellucid.stages.knowing import check_facts
from pellucid.stages.plan import PLAN
from pellucid.stages.report import REPORT
from pellucid.stages.run_folder import RECIPE_FILE, dump_recipe
from pellucid.stages.shards import SHARDS
from pellucid.stages.stage import Context, Stage, run_stage
from pellucid.stages.tokenizer import TOKENIZER
from pellucid.stages.train import train_stages
from pellucid.train.world import World, open_world, started_together

__all__ = ["run_all", "run_one", "stages_of"]


def stages_of(loaded: LoadedRecipe) -> list[Stage]:
    """Return the recipe's stages in the order in which they run."""
    recipe = loaded.recipe
    text = recipe.sources != ()
    before = [PLAN, *([DOCUMENTS] if text else []), TOKENIZER, *([SHARDS] if text else [])]
    talk = [CONVERSATIONS] if recipe.conversations else []
    # Benchmarks may take long and need data or a judge: what they might fail on comes when there is an export.
    scores, suites = [EVALUATE] if recipe.text_stages else [], [BENCHMARKS] if recipe.evaluate.benchmarks else []
    after = [*scores, EXPORT, *suites, ACCOUNT, REPORT]
    return [*before, *talk, *train_stages(recipe), *after]


def run_all(loaded: LoadedRecipe, runs: Path) -> None:
    """Run every stage that is not current, and say at the end where to look and what to type next."""
    _refuse_company("run")
    started = time.monotonic()
    run = runs / loaded.recipe.name
    with run_lock(run):
        context = _open(loaded, run)
        check_curves(loaded)
        check_benchmarks(loaded)
        changed = [run_stage(stage, context) for stage in stages_of(loaded)]
    _closing_lines(run, time.monotonic() - started, any(changed))


def run_one(name: str, loaded: LoadedRecipe, runs: Path) -> None:
    """Run one stage by its name.

    `train` stands for all training stages, which several processes may share, `evaluate` for the recipe's benchmarks as well,
    `report` for the account before it.
    """
    run = runs / loaded.recipe.name
    training = {stage.name for stage in train_stages(loaded.recipe)}
    several = {"train": training, "evaluate": {EVALUATE.name, BENCHMARKS.name}, "report": {ACCOUNT.name, REPORT.name}}
    meant = several.get(name, {name})
    chosen = [stage for stage in stages_of(loaded) if stage.name in meant]
    if not chosen:
        raise UsageError(f"there is no stage {name!r}; the recipe has {', '.join(stage.name for stage in stages_of(loaded))}")
    if not all(stage.name in training for stage in chosen):
        _refuse_company(name)
    with open_world() as world, run_lock(run) if world.is_first else nullcontext():
        context = _open(loaded, run, world)
        if name in {"train", *training}:
            check_curves(loaded)
        if BENCHMARKS in chosen:
            check_benchmarks(loaded)
        for stage in chosen:
            run_stage(stage, context)


def _open(loaded: LoadedRecipe, run: Path, world: World = World()) -> Context:  # noqa: B008 (frozen)
    if world.is_first:
        write_bytes(run / RECIPE_FILE, dump_recipe(loaded).encode())
        keep_template(loaded, run)
        check_facts(loaded)
        settle(run, holds_run=True)
    return Context(loaded, run, world)


def _refuse_company(command: str) -> None:
    """Only training is shared out; of anything else the copies would get in each other's way."""
    if started_together() > 1:
        raise UsageError(
            f"{started_together()} processes were started together, and `pellucid {command}` is work for one. "
            "Run it without torchrun; then: torchrun … -m pellucid train RECIPE"
        )


def _closing_lines(run: Path, seconds: float, changed: bool) -> None:
    console.print(f"\n{'Done' if changed else 'Nothing changed'} in {format_duration(seconds)}.", style="bold")
    gguf = sorted((run / "exports" / "gguf").glob("*.gguf"))
    console.print(f"  look at    {run / 'report' / 'index.html'}", soft_wrap=True)
    if gguf:
        console.print(f"  llama.cpp  {gguf[0]}", soft_wrap=True)
    console.print(f"  type next  pellucid chat {run}", soft_wrap=True)
