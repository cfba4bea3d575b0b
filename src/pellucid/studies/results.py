"""What a study knows of its runs: levels, seed, how each ended, its losses and scores, and what it took. Plain values.

`results/runs.json` holds them; every analysis is a pure function of these and of the study's configuration.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

__all__ = ["OUTCOMES", "Cost", "Outcome", "Point", "RunResult", "Scores", "Stage", "Table", "by_level", "pooled", "runs_from_json"]

Outcome = Literal["done", "stopped", "failed", "unfinished", "not begun"]
"""done: to its length; stopped: by a rule of the study; failed: it diverged or raised; unfinished: it has trained, and either is
being made or was cut off; not begun: it has not trained, perhaps because the budget is spent."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Scores:
    """Held-out text of one group: `nats` are the sum over its `bytes` bytes of UTF-8 in `documents` documents."""

    nats: float
    bytes: int
    documents: int

    @property
    def bits_per_byte(self) -> float:
        """nats / ln 2 / bytes; not a number without text."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


Table = Mapping[str, Mapping[str, Scores]]
"""Scores by kind of group and group: `table["all"]["all"]`, `table["language"]["de"]`, `table["category"]["Law"]`,
`table["source"]["wesnoth.de"]`."""


@dataclass(frozen=True)
class Point:
    """Held-out text on the way (of `curves`, the beginnings of documents), after `step` steps and `tokens` tokens of `stage`.

    `table` as at the end, but of less text: compare points with points only.
    """

    stage: str
    step: int
    tokens: int
    table: Table


@dataclass(frozen=True)
class Stage:
    """One training stage as it went. `schedule` is the resolved section; `steps_planned` its length by the recipe.

    The four lists have one value for each step that was made: number, learning rate, training loss in nats per target token, and
    the gradient's norm before clipping. `batch_tokens` are those of a step.
    """

    name: str
    steps_planned: int
    batch_tokens: int
    seq_tokens: int
    schedule: Mapping[str, Any]
    steps: Sequence[int]
    rates: Sequence[float]
    losses: Sequence[float]
    norms: Sequence[float]


@dataclass(frozen=True)
class Cost:
    """What a run took. What it shares with others is in the account of the run that made it, and here in `shared_tokens`."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    joules: float = 0.0
    data_s: float = 0.0
    """Seconds of the stages before training: documents, tokenizer, shards."""
    tokens: int = 0
    """Tokens that the run itself trained on."""
    shared_tokens: int = 0
    """Tokens of its beginning that another run had trained on."""
    flops: float = 0.0
    """Of `tokens`, by 6·N and attention."""


@dataclass(frozen=True)
class RunResult:
    """One run of a study. `levels` are by axis; `weights` the shares of sources by training stage; `begins_with` the run whose
    beginning it shares; `noise` one gradient noise scale for each checkpoint that was looked at; `sources` the recipe's sources,
    each with its `category` and `language`, both as the recipe has them. `parameters` are all of them, `embedding_parameters` those
    among them of the embedding and of a head of its own. `planned_flops` are of the whole training by the recipe, as `plan.flops`
    counts "matmul", so that runs that were not begun have a size too; 0: not known. `made_with` has by `stage` the
    `settings` that its steps were trained with (device, precision, processes, threads, torch), as often as they changed.
    `recipe` is the digest of its recipe."""

    name: str
    levels: Mapping[str, str]
    seed: int
    outcome: Outcome
    message: str = ""
    parameters: int = 0
    embedding_parameters: int = 0
    planned_flops: float = 0.0
    stages: Sequence[Stage] = ()
    table: Table | None = None
    points: Sequence[Point] = ()
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cost: Cost = Cost()
    begins_with: str | None = None
    noise: Sequence[Mapping[str, Any]] = ()
    sources: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    made_with: Sequence[Mapping[str, Any]] = ()
    recipe: str = ""

    @property
    def is_comparable(self) -> bool:
        """Whether it came to its length and was scored."""
        return self.outcome == "done" and self.table is not None

    def bits_per_byte(self, kind: str = "all", group: str = "all") -> float:
        """Return the final score of a group; not a number where there is none."""
        scores = (self.table or {}).get(kind, {}).get(group)
        return math.nan if scores is None else scores.bits_per_byte

    def final_loss(self, over_steps: int) -> float:
        """Return the mean training loss over the last steps of the last stage that has any; not a number without."""
        losses = next((stage.losses for stage in reversed(self.stages) if len(stage.losses)), ())
        last = losses[-over_steps:]
        return sum(last) / len(last) if len(last) else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def runs_from_json(raw: Iterable[Mapping[str, Any]]) -> list[RunResult]:
    """Return runs out of the plain values that `RunResult.to_json` made."""
    return [
        RunResult(
            **{
                **one,
                "stages": tuple(_stage(stage) for stage in one["stages"]),
                "table": None if one["table"] is None else _table(one["table"]),
                "points": tuple(Point(**{**point, "table": _table(point["table"])}) for point in one["points"]),
                "cost": Cost(**one["cost"]),
            }
        )
        for one in raw
    ]


def _stage(raw: Mapping[str, Any]) -> Stage:
    """JSON has null for what was no number, as the loss of a step that diverged."""
    lists = {name: tuple(math.nan if value is None else value for value in raw[name]) for name in ("rates", "losses", "norms")}
    return Stage(**{**raw, **lists})


def _table(raw: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    return {kind: {group: Scores(**scores) for group, scores in groups.items()} for kind, groups in raw.items()}


def pooled(scores: Iterable[Scores]) -> Scores:
    """Return several groups as one."""
    rows = list(scores)
    return Scores(math.fsum(row.nats for row in rows), sum(row.bytes for row in rows), sum(row.documents for row in rows))


def by_level(runs: Iterable[RunResult], axis: str) -> dict[str, list[RunResult]]:
    """Return runs by their level of an axis, levels and runs in order of appearance; those without the axis are left out."""
    found: dict[str, list[RunResult]] = {}
    for run in runs:
        if axis in run.levels:
            found.setdefault(run.levels[axis], []).append(run)
    return found
