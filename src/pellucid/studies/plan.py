"""What a study will take before anything is run: order, who begins with whom, tokens and FLOPs, what the budget leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.plan.flops import flops_per_token
from pellucid.recipe.recipe import Recipe
from pellucid.studies.design import LoadedStudy, PlannedRun
from pellucid.studies.sharing import Beginning, in_order, waves

__all__ = ["RunPlan", "StudyPlan", "plan_study"]


@dataclass(frozen=True)
class RunPlan:
    """One run as it is meant: the finished run that it begins with, tokens and FLOPs of its own, and the run whose loss ends it.

    `left_out` says which budget has no room for it; empty where it fits.
    """

    run: PlannedRun
    begins_with: tuple[str, Beginning] | None
    target: str | None
    tokens: int
    flops: float
    left_out: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """All runs in waves: each waits for runs of earlier waves only. Runs that do not fit the budget are in `left_out`."""

    waves: list[list[RunPlan]]
    left_out: list[RunPlan] = field(default_factory=list)

    @property
    def runs(self) -> list[RunPlan]:
        """The runs that fit, in the order in which they are begun."""
        return [run for wave in self.waves for run in wave]

    def to_json(self) -> dict[str, Any]:
        """Return what `pellucid plan STUDY --json` prints."""
        return {
            "runs": [
                {
                    "name": one.run.name,
                    "levels": one.run.levels,
                    "seed": one.run.seed,
                    "wave": wave,
                    "tokens": one.tokens,
                    "flops": one.flops,
                    "begins_with": None if one.begins_with is None else one.begins_with[0],
                    "shared_tokens": 0 if one.begins_with is None else one.begins_with[1].tokens,
                    "target": one.target,
                    "left_out": one.left_out,
                }
                for wave, found in [*enumerate(self.waves), (None, self.left_out)]
                for one in found
            ],
            "tokens": sum(one.tokens for one in self.runs),
            "flops": sum(one.flops for one in self.runs),
            "shared_tokens": sum(one.begins_with[1].tokens for one in self.runs if one.begins_with is not None),
        }


def plan_study(study: LoadedStudy) -> StudyPlan:
    """Return the plan of a study. Budgets count what runs share once, and leave out runs from the end of the order."""
    recipes = [run.loaded.recipe for run in study.runs]
    targets = _targets(study)
    # A run that others are measured against waits for nobody: what begins with it may come later.
    first = set(targets.values())
    order, sources = in_order(recipes)
    order = [*(place for place in order if place in first), *(place for place in order if place not in first)]
    planned: dict[int, RunPlan] = {}
    tokens = flops = 0.0
    for place in order:
        source = sources.get(place)
        if source is not None and (place in first or source.place not in planned or planned[source.place].left_out):
            source = None
        target = targets.get(place)
        begins_with = None if source is None else (study.runs[source.place].name, source.beginning)
        own_tokens, own_flops = _work(recipes[place], source.beginning if source is not None else Beginning(0, 0, 0))
        left_out = _over(study, tokens + own_tokens, flops + own_flops)
        if target is not None and planned[target].left_out:
            left_out = left_out or f"the run that it is measured against, {study.runs[target].name}, is left out"
        named = None if target is None else study.runs[target].name
        planned[place] = RunPlan(study.runs[place], begins_with, named, own_tokens, own_flops, left_out)
        if not left_out:
            tokens, flops = tokens + own_tokens, flops + own_flops
    fitting = [place for place in order if not planned[place].left_out]
    after = {place: _waits_for(place, planned[place], study, targets) for place in fitting}
    found = [[planned[place] for place in wave] for wave in waves(fitting, after)]
    return StudyPlan(found, [planned[place] for place in order if planned[place].left_out])


def _targets(study: LoadedStudy) -> dict[int, int]:
    """Return for each run that ends at another's loss the place of that run: its seed's at the target level."""
    wanted = study.config.stop.target_level
    if wanted is None:
        return {}
    at = {run.seed: place for place, run in enumerate(study.runs) if run.levels == wanted}
    return {place: at[run.seed] for place, run in enumerate(study.runs) if run.levels != wanted and run.seed in at}


def _waits_for(place: int, plan: RunPlan, study: LoadedStudy, targets: dict[int, int]) -> Sequence[int]:
    names = [run.name for run in study.runs]
    source = [] if plan.begins_with is None else [names.index(plan.begins_with[0])]
    return [*source, *([targets[place]] if place in targets else [])]


def _work(recipe: Recipe, shared: Beginning) -> tuple[int, float]:
    """Return the tokens that a run trains on by itself, and their FLOPs with attention in full."""
    tokens, flops = 0, 0.0
    for number, stage in enumerate(recipe.train):
        own = stage.total_steps * stage.batch_tokens
        if number < shared.stages:
            own = 0
        elif number == shared.stages:
            own -= shared.steps * stage.batch_tokens
        tokens += own
        flops += own * flops_per_token(recipe.model, stage.seq_tokens, stage.adapter)["with_attention"]
    return tokens, flops


def _over(study: LoadedStudy, tokens: float, flops: float) -> str:
    budget = study.config.budget
    if budget.tokens is not None and tokens > budget.tokens:
        return f"budget.tokens = {budget.tokens:g} has no room for it: {tokens:g} with all before it"
    if budget.flops is not None and flops > budget.flops:
        return f"budget.flops = {budget.flops:g} has no room for it: {flops:g} with all before it"
    return ""
