"""A study as data: a base recipe, what is varied, the seeds, and what is asked of the runs that come of it."""

from typing import Any, Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = [
    "AnalysesConfig",
    "AxisConfig",
    "BatchSizeAnalysis",
    "BudgetConfig",
    "CompareConfig",
    "ContinuedAnalysis",
    "DesignConfig",
    "MixesAnalysis",
    "ScalingAnalysis",
    "SchedulesAnalysis",
    "StopConfig",
    "StudyConfig",
    "WorkConfig",
]


class AxisConfig(Section):
    """One thing that is varied: values of one key, named levels that each set several keys, the mixes of a report, or a range."""

    key: str | None = Field(None, description="Key of the recipe, as --set takes it, whose values are the levels.")
    values: tuple[Any, ...] = Field((), description="Values of the key.")
    levels: dict[str, dict[str, Any]] | None = Field(None, description="Levels by name: each sets these keys of the recipe.")
    mixes: Literal["stable-lm-2"] | None = Field(
        None, description="The levels are the mixes of Table 9 of the Stable LM 2 report, on the base recipe's sources."
    )
    leave_out: Literal["category", "source"] | None = Field(
        None, description="The levels are: all of the base's text (`all`), and all without each category or source (`no-NAME`)."
    )
    low: float | None = Field(None, description="design: random only. Least value of the key.")
    high: float | None = Field(None, description="design: random only. Greatest value of the key.")
    scale: Literal["linear", "log"] = Field("linear", description="How values between low and high are drawn.")
    whole: bool = Field(False, description="Draw whole numbers, both ends among them.")
    baseline: str | None = Field(None, description="The level that the others are compared with; the first when not given.")


class BudgetConfig(Section):
    """What all runs of the study together may take. Runs that no longer fit are not begun, and the report says so."""

    tokens: float | None = Field(None, gt=0, description="Tokens trained on; what runs share counts once.")
    flops: float | None = Field(None, gt=0, description="FLOPs of training by 6·N and attention; what runs share counts once.")
    cpu_hours: float | None = Field(None, gt=0, description="Core hours as the runs' accounts measure them.")


class StopConfig(Section):
    """When a run ends before its length, by its training loss averaged over a window. It is kept, and marked with the rule."""

    window_steps: int = Field(50, ge=1, description="The loss is averaged over so many steps, at multiples of them.")
    target_loss: float | None = Field(None, description="A run ends when its loss is this or below.")
    target_level: dict[str, str] | None = Field(
        None, description="A run ends when its loss is what the run of this level (axis: level) and its seed ended with."
    )
    above_loss: float | None = Field(None, description="A run ends when its loss is above this after after_steps.")
    after_steps: int = Field(0, ge=0, description="above_loss is not looked at before this step.")


class SchedulesAnalysis(Section):
    """Figure 4 of the Stable LM 2 report: learning rates, their means, losses by schedule and length, what a trunk saves."""

    schedule: str = Field("schedule", description="Axis of schedules.")
    length: str | None = Field(None, description="Axis of lengths, if there is one.")
    trunk: str | None = Field(None, description="Level of `schedule` whose runs of all lengths share one trunk.")


class MixesAnalysis(Section):
    """Tables 9 and 10 of the Stable LM 2 report: scores by language and domain, value of sources, a law that forecasts mixes."""

    mix: str = Field("mix", description="Axis of mixes.")
    law: bool = Field(True, description="Fit a mixing law (arXiv 2403.16952) by group.")
    forecast: tuple[str, ...] = Field((), description="Levels that the law is not fitted to: it forecasts them.")


class BatchSizeAnalysis(Section):
    """Figure 6 of the Stable LM 2 report: steps and tokens to equal loss by batch size, and the gradient noise scale."""

    batch: str = Field("batch", description="Axis of batch sizes.")
    noise: bool = Field(True, description="Measure the gradient noise scale (arXiv 1812.06162) at the runs' checkpoints.")
    noise_seqs: int = Field(256, ge=4, description="Sequences whose gradients it is estimated from.")


class ContinuedAnalysis(Section):
    """Continued pretraining: how groups of held-out text fall back and recover in a later stage."""

    stage: str = Field(description="The training stage that goes on with other text.")
    old: tuple[str, ...] = Field(description="Sources of the stage before: what may be forgotten.")
    new: tuple[str, ...] = Field(description="Sources that are to be learnt.")
    factor: str = Field("way", description="Axis of ways to go on.")


class ScalingAnalysis(Section):
    """A ladder of sizes: a law fitted to the lower rungs, and its forecast of those above."""

    rung: str = Field("rung", description="Axis of sizes.")
    forecast: tuple[str, ...] = Field((), description="Rungs that the law is not fitted to: it forecasts them.")


class DesignConfig(Section):
    """Which of the axes' levels meet."""

    kind: Literal["grid", "list", "random"] = Field(
        "grid", description="grid: every level of every axis with every other; list: those in `runs`; random: `samples` drawn."
    )
    runs: tuple[dict[str, str], ...] = Field((), description="list: a level of each axis for each run.")
    samples: int | None = Field(None, ge=1, description="random: how many are drawn.")
    seed: int = Field(1, ge=0, lt=2**32, description="random: of the draws.")


class CompareConfig(Section):
    """What runs are compared by."""

    metric: Literal["bits_per_byte", "loss"] = Field(
        "bits_per_byte", description="Of held-out text; or the training loss, the mean over the last steps."
    )
    loss_steps: int = Field(50, ge=1, description="The training loss that a run ended with is the mean over so many steps.")
    seed: int = Field(1, ge=0, lt=2**32, description="Of resampled intervals.")


class WorkConfig(Section):
    """How runs are spread over the machine, or a cluster."""

    workers: int = Field(1, ge=1, description="Runs side by side.")
    threads: int | None = Field(None, ge=1, description="Threads of each run; the machine's cores by `workers` when not given.")
    engine: Literal["local", "ray"] = Field("local", description="Where runs side by side are: here, or on a Ray cluster.")


class AnalysesConfig(Section):
    """What is asked of the runs beside the effects of every axis."""

    schedules: SchedulesAnalysis | None = Field(None, description="Learning-rate schedules.")
    mixes: MixesAnalysis | None = Field(None, description="Data mixes.")
    batch_size: BatchSizeAnalysis | None = Field(None, description="Batch sizes.")
    continued: ContinuedAnalysis | None = Field(None, description="Continued pretraining.")
    scaling: ScalingAnalysis | None = Field(None, description="A ladder of sizes.")


class StudyConfig(Section):
    """Many runs of one recipe, made to be compared."""

    kind: Literal["study"] = Field(description="study: the file is a study, not a recipe.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the study's folder.")
    description: str = Field("", description="What is asked, in a line.")
    base: str = Field(min_length=1, description="Recipe that every run begins from, relative to the study.")
    set: dict[str, Any] = Field({}, description="Keys of the recipe that all runs have changed, as --set takes them.")
    axes: dict[str, AxisConfig] = Field({}, description="What is varied, by name.")
    design: DesignConfig = Field(DesignConfig(), description="Which of the axes' levels meet.")
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1, description="Every run is made once with each as its recipe's seed.")
    compare: CompareConfig = Field(CompareConfig(), description="What runs are compared by.")
    budget: BudgetConfig = Field(BudgetConfig(), description="What all runs together may take.")
    stop: StopConfig = Field(StopConfig(), description="When a run ends early.")
    work: WorkConfig = Field(WorkConfig(), description="How runs are spread over the machine, or a cluster.")
    analyse: AnalysesConfig = Field(AnalysesConfig(), description="What is asked of the runs beside the effects of every axis.")
