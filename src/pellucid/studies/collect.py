"""A run's folder → what a study knows of it (`RunResult`): read from artifacts, metrics and ledger alone."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.attempts import attempts_of
from pellucid.core.files import read_json
from pellucid.core.ledger import LEDGER, read_ledger
from pellucid.core.metrics import read_metrics
from pellucid.evals.choices.item import Item
from pellucid.plan.flops import flops_per_token
from pellucid.plan.parameters import count_parameters
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.studies.design import PlannedRun
from pellucid.studies.results import Cost, Outcome, Point, RunResult, Scores, Stage, Table

__all__ = ["BEFORE_TRAINING", "collect_run", "made_with", "stages_made"]

BEFORE_TRAINING = ("documents", "tokenizer", "shards", "conversations")
_TASK = "perplexity"
# What decides the bits of a run beside its recipe, by its name in the line with which training begins, and goes on.
_SETTINGS = ("device", "precision", "ranks", "tensor_ways", "shard", "threads", "compiled", "torch")

_TOUCHES = ("start", "shared", "begun_with", "unchanged", "end")


@dataclass(frozen=True)
class _Row:
    """Nats and bytes of one text, and the source and language that it is of."""

    source: str
    language: str
    nats: float
    bytes: int


def collect_run(run: PlannedRun, folder: Path, outcome: Outcome, message: str = "") -> RunResult:
    """Return what a run's folder tells; of a run that was never begun, its levels and outcome.

    One that is said not to be begun, and has trained, is unfinished: it is being made, or was cut off. What another recipe left
    in the folder counts as cost alone.
    Raises `ArtifactError` for files that are damaged.
    """
    recipe = run.loaded.recipe
    own = stages_made(run, folder)
    stages = tuple(_stage(config, _lines(folder, config) if config.name in own else ()) for config in recipe.train)
    if outcome == "not begun" and any(stage.steps for stage in stages):
        outcome = "unfinished"
    count = count_parameters(recipe.model)
    return RunResult(
        name=run.name,
        levels=run.levels,
        seed=run.seed,
        outcome=outcome,
        message=message,
        parameters=count.total,
        embedding_parameters=count.embedding + count.head,
        planned_flops=float(sum(_planned_flops(recipe, config) for config in recipe.train)),
        stages=stages,
        table=_heldout(folder, recipe) if outcome == "done" else None,
        points=tuple(point for config in recipe.train if config.name in own for point in _points(folder, config, recipe)),
        weights={name: weights for name, weights in _weights(folder, recipe).items() if name in own},
        cost=_cost(folder, recipe, stages),
        begins_with=_begins_with(folder) if own else None,
        noise=_noise(folder) if recipe.train[-1].name in own else (),
        sources={source.name: {"category": source.category, "language": source.language} for source in recipe.sources},
        made_with=_settings(recipe, folder, own),
        recipe=run.loaded.digest,
    )


def stages_made(run: PlannedRun, folder: Path) -> frozenset[str]:
    """Return the training stages of a folder that its ledger says were made, taken or found current under the run's recipe.

    Each line of a start has the recipe's digest; what was touched last before another recipe's last start is of that other one.
    """
    if not (folder / LEDGER).is_file():
        return frozenset()
    touched: dict[str, int] = {}
    other = -1
    for line, event in enumerate(read_ledger(folder / LEDGER)):
        if event.get("recipe", run.loaded.digest) != run.loaded.digest:
            other = line
        elif event.get("event") in _TOUCHES and "stage" in event:
            touched[event["stage"]] = line
    return frozenset(stage.name for stage in run.loaded.recipe.train if touched.get(stage.name, -1) > other)


def made_with(run: PlannedRun, folder: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the settings by stage that a run's steps were trained with, each once, whoever trained what it has of others."""
    return _settings(run.loaded.recipe, folder, stages_made(run, folder))


def _settings(recipe: Recipe, folder: Path, own: Collection[str]) -> tuple[Mapping[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for config in (one for one in recipe.train if one.name in own):
        settings: dict[str, Any] | None = None
        for line in _lines(folder, config):
            if line.get("event") in ("start", "resume"):
                settings = {"stage": config.name, "settings": {name: line[name] for name in _SETTINGS if name in line}}
            elif "loss" in line and settings is not None and settings not in found:
                found.append(settings)  # not before a step: it may have been killed, and gone on with otherwise
    return tuple(found)


def _lines(folder: Path, config: TrainStageConfig) -> Iterable[Mapping[str, Any]]:
    return read_metrics(folder / config.name / "metrics.jsonl")


def _stage(config: TrainStageConfig, lines: Iterable[Mapping[str, Any]]) -> Stage:
    steps = [line for line in lines if "loss" in line]
    return Stage(
        name=config.name,
        steps_planned=config.total_steps,
        batch_tokens=config.batch_tokens,
        seq_tokens=config.seq_tokens,
        schedule=config.schedule.model_dump(mode="json"),
        steps=tuple(line["step"] for line in steps),
        rates=tuple(line["lr"] for line in steps),
        losses=tuple(_number(line["loss"]) for line in steps),
        norms=tuple(_number(line["grad_norm"]) for line in steps),
    )


def _number(value: float | None) -> float:
    """Return a figure of a step; JSON has null for what was no number."""
    return math.nan if value is None else value


def _heldout(folder: Path, recipe: Recipe) -> Table | None:
    file = folder / "scores" / "heldout.documents.jsonl"
    if not (folder / "scores" / "manifest.json").is_file():
        return None
    return _table((_Row(one["source"], one["language"], one["nats"], one["bytes"]) for one in read_metrics(file)), recipe)


def _points(folder: Path, config: TrainStageConfig, recipe: Recipe) -> Iterable[Point]:
    """Yield the beginnings of held-out documents as they were scored on the way; nothing where the stage has no curves of them."""
    items = folder / config.name / "curves.items.json"
    task = read_json(items).get(_TASK) if items.is_file() else None
    if task is None:
        return
    asked = [Item.from_json(raw) for raw in task["items"]]
    for line in read_metrics(folder / config.name / "curves.jsonl"):
        found = line["tasks"].get(_TASK, {})
        if "nats" in found and found["digest"] == task["digest"]:
            rows = [
                _Row(item.id.partition(":")[0], item.group or "", nats[0], item.answer_bytes)
                for item, nats in zip(asked, found["nats"], strict=True)
            ]
            yield Point(config.name, line["step"], line["tokens"], _table(rows, recipe))


def _table(rows: Iterable[_Row], recipe: Recipe) -> Table:
    category = {source.name: source.category for source in recipe.sources}
    sums: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        groups = {"all": "all", "language": row.language, "source": row.source, "category": category.get(row.source, "")}
        for kind, group in groups.items():
            of_group = sums.setdefault(kind, {}).setdefault(group, [0.0, 0, 0])
            for at, value in enumerate((row.nats, row.bytes, 1)):
                of_group[at] += value
    return {
        kind: {group: Scores(nats, int(size), int(count)) for group, (nats, size, count) in sorted(groups.items())}
        for kind, groups in sums.items()
    }


def _weights(folder: Path, recipe: Recipe) -> dict[str, Mapping[str, float]]:
    """Return the shares of sources in each stage that came to its end."""
    receipts = {stage.name: folder / stage.name / "receipt.json" for stage in recipe.text_stages}
    return {name: read_json(file)["order"]["weights"] for name, file in receipts.items() if file.is_file()}


def _shared(folder: Path) -> dict[str, dict[str, Any]]:
    """Return by training stage the last event that took it (`shared`), or its beginning (`begun_with`), from another run."""
    if not (folder / LEDGER).is_file():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for event in read_ledger(folder / LEDGER):
        if event.get("event") in ("shared", "begun_with"):
            found[event["stage"]] = event
        elif event.get("event") == "start" and not event.get("continues"):
            found.pop(event["stage"], None)  # what was taken before is another build's
    return found


def _begins_with(folder: Path) -> str | None:
    return next((str(event["run"]) for event in _shared(folder).values() if "run" in event), None)


def _cost(folder: Path, recipe: Recipe, stages: Iterable[Stage]) -> Cost:
    """Return what making the run took, all attempts at its stages however they ended; what was done with it since is no part."""
    if not (folder / LEDGER).is_file():
        return Cost()
    made = {"plan", *BEFORE_TRAINING, *(stage.name for stage in recipe.train), "evaluate", "noise"}
    attempts = [one for one in attempts_of(read_ledger(folder / LEDGER)) if one.stage in made]
    tokens = flops = shared = 0.0
    taken = _shared(folder)
    for config, stage in zip(recipe.train, stages, strict=True):
        event = taken.get(stage.name, {})
        last = stage.steps[-1] if stage.steps else 0
        begun = min(last, event.get("step", last if event else 0))  # without a step the whole stage is another run's
        own = (last - begun) * stage.batch_tokens
        shared += begun * stage.batch_tokens
        tokens += own
        flops += own * flops_per_token(recipe.model, config.seq_tokens, config.adapter)["with_attention"]
    return Cost(
        seconds=sum(one.seconds for one in attempts),
        cpu_s=sum(one.cpu_s or 0.0 for one in attempts),
        joules=sum(one.joules or 0.0 for one in attempts),
        data_s=sum(one.seconds for one in attempts if one.stage in BEFORE_TRAINING),
        tokens=int(tokens),
        shared_tokens=int(shared),
        flops=flops,
    )


def _planned_flops(recipe: Recipe, stage: TrainStageConfig) -> int:
    tokens = stage.total_steps * stage.batch_tokens
    return tokens * flops_per_token(recipe.model, stage.seq_tokens, stage.adapter)["matmul"]


def _noise(folder: Path) -> tuple[Mapping[str, Any], ...]:
    file = folder / "noise" / "noise.json"
    return tuple(read_json(file)["checkpoints"]) if file.is_file() else ()
