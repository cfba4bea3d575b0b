"""The sections about the model's shape and how it was trained: layout, schedule as run, losses, losses by source."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pellucid.core.units import format_bytes
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.report.blocks import Block, Cell, Drawing, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import curves
from pellucid.report.markup import figure, heading, section, table
from pellucid.report.sections import PLAN, decimals, percent, whole

__all__ = ["architecture", "training"]

_LOSS_UNITS = {False: "nats per token", True: "nats per pair"}
_X = "tokens, millions"
_MEAN_STEPS, _POINTS, _MOST_SOURCES = 20, 40, 8


def architecture(facts: Facts, recipe: Recipe) -> Section | None:
    """The model's shape and where its parameters are."""
    model, names = recipe.model, list(facts.document(PLAN)["parameters"])
    parts = [name for name in names if isinstance(facts.document(PLAN)["parameters"][name], int) and name != "total"]
    rows = [[name.replace("_", " "), facts.get(PLAN, "parameters", name, show=whole)] for name in [*parts, "total"]]
    manifest = f"{recipe.train[0].name}/manifest.json"

    def set_to(name: str, show: Callable[[Any], str] = str) -> Fact | str:
        return facts.known(manifest, "config", "model", name, show=show, otherwise=show(getattr(model, name)))

    shape: list[list[Cell]] = [
        ["layers", set_to("layers")],
        ["hidden", set_to("hidden", whole)],
        ["heads (queries / keys and values)", (set_to("heads"), " / ", set_to("kv_heads"))],
        ["MLP hidden (SwiGLU)", set_to("mlp_hidden", whole)],
        ["norm", (set_to("norm"), " with bias" if model.norm_bias else "")],
        ["rotary share of a head, base", (set_to("rotary_frac", _short), ", ", set_to("rotary_base", _short))],
        ["biases on query, key, value", set_to("qkv_bias", _yes_or_no)],
        ["norm of each head's queries and keys", set_to("qk_norm", _yes_or_no)],
        ["head shares the embedding", set_to("tied_head", _yes_or_no)],
        ["vocabulary, padding included", set_to("vocab_tokens", whole)],
        ["context, tokens", set_to("context_tokens", whole)],
    ]
    return section(
        "architecture",
        "Architecture",
        table(("Shape", "Value"), shape, caption="The model as the recipe has it."),
        table(("Parameters", "Number"), rows, caption="Counted by pellucid plan.", total=True),
    )


def training(facts: Facts, recipe: Recipe) -> Section | None:
    """Layout, schedule as run, losses and speed of each training stage."""
    parts: list[Block] = []
    for stage in recipe.train:
        file = f"{stage.name}/metrics.jsonl"
        records = facts.document(file)
        steps = [(n, record) for n, record in enumerate(records) if "loss" in record and not record.get("skipped")]
        if not steps:
            continue
        x = [record["tokens"] / 1e6 for _, record in steps]
        loss, unit = [record["loss"] for _, record in steps], _LOSS_UNITS[stage.learns_from_pairs]
        smooth = {"each step": (x, loss), f"mean of {_MEAN_STEPS} steps": (x, list(_smooth(loss, _MEAN_STEPS)))}
        curve = curves(smooth, _X, f"training loss, {unit}", faint=("each step",))
        rate = curves({"rate": (x, [record["lr"] for _, record in steps])}, _X, "learning rate")
        parts += [
            heading(stage.name),
            table(("Layout", "Value"), _layout(facts, stage, steps), caption=f"The stage {stage.name} as run."),
            figure(curve, f"Training loss of {stage.name}.", file),
            *([figure(by, f"Training loss of {stage.name} by source.", file)] if (by := _by_source(steps, unit)) else []),
            figure(rate, f"Learning rate of {stage.name} as run.", file),
        ]
    return section("training", "Training", *parts) if parts else None


def _layout(facts: Facts, stage: TrainStageConfig, steps: Sequence[tuple[int, Mapping[str, Any]]]) -> list[list[Cell]]:
    """What was run, on how many devices, how fast."""
    file, (last, record) = f"{stage.name}/metrics.jsonl", steps[-1]
    tail = [one["tokens_per_s"] for _, one in steps[len(steps) // 10 :]]
    middle = sorted(tail)[len(tail) // 2]
    nearest, _ = min(steps, key=lambda item: abs(item[1]["tokens_per_s"] - middle))
    manifest = f"{stage.name}/manifest.json"

    def set_to(*keys: str, otherwise: object, show: Callable[[Any], str] = str) -> Fact | str:
        return facts.known(manifest, "config", "stage", *keys, show=show, otherwise=show(otherwise))

    in_tokens = (set_to("batch_tokens", otherwise=stage.batch_tokens, show=whole), " tokens")
    rate = set_to("schedule", "peak_lr", otherwise=stage.schedule.peak_lr, show=_short)
    kinds = (
        set_to("optimizer", "kind", otherwise=stage.optimizer.kind),
        set_to("schedule", "kind", otherwise=stage.schedule.kind),
    )
    rows: list[list[Cell]] = [
        ["objective", set_to("objective", otherwise=stage.objective)],
        ["steps", facts.get(file, last, "step", show=whole)],
        ["tokens", facts.get(file, last, "tokens", show=whole)],
        ["a step", in_tokens if stage.learns_from_text else f"{whole(stage.batch_seqs)} sequences"],
        [
            "sequence, attention",
            (
                set_to("seq_tokens", otherwise=stage.seq_tokens),
                " tokens, ",
                set_to("attention", otherwise=stage.attention),
            ),
        ],
        ["optimizer, peak rate", (kinds[0], ", ", rate, " (", kinds[1], ")")],
    ]
    begun = facts.document(file)[0]
    if begun.get("event") == "start":
        told = [(title, key) for title, key in _STARTED if begun.get(key) not in (None, "")]
        rows += [[title, facts.get(file, 0, key, show=_yes_or_no)] for title, key in told]
    rows += [
        [f"loss of the last step, {_LOSS_UNITS[stage.learns_from_pairs]}", facts.get(file, last, "loss", show=decimals(4))],
        ["tokens per second (median step)", facts.get(file, nearest, "tokens_per_s", show=whole)],
        ["model FLOPs utilisation (median step)", facts.get(file, nearest, "mfu", show=percent)],
    ]
    if record.get("memory_bytes"):
        rows.append(["memory at the last step", facts.get(file, last, "memory_bytes", show=format_bytes)])
    return rows


_STARTED = (
    ("device", "device"),
    ("ranks", "ranks"),
    ("sharding", "shard"),
    ("tensor-parallel ways", "tensor_ways"),
    ("precision", "precision"),
    ("compiled", "compiled"),
    ("threads", "threads"),
)


def _short(value: float) -> str:
    return f"{value:g}"


def _yes_or_no(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _by_source(steps: Sequence[tuple[int, Mapping[str, Any]]], unit: str) -> Drawing | None:
    """Draw the losses of the sources that were in most steps, each point a mean over steps; None of a single source."""
    sources: dict[str, int] = {}
    for _, record in steps:
        for name in record.get("loss_by_source", ()):
            sources[name] = sources.get(name, 0) + 1
    chosen = sorted(sources, key=lambda name: (-sources[name], name))[:_MOST_SOURCES]
    if len(chosen) < 2:
        return None
    # Windows as wide as each other, or one step wider: a short one at the end would be mostly noise.
    count = min(len(steps), _POINTS)
    ends = [len(steps) * number // count for number in range(count + 1)]
    windows = [steps[first:end] for first, end in pairwise(ends)]
    widths = "–".join(map(str, sorted({len(window) for window in windows})))
    lines: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in chosen}
    for window in windows:
        for name, (x, y) in lines.items():
            losses = [record["loss_by_source"][name] for _, record in window if name in record.get("loss_by_source", ())]
            if losses:
                x.append(window[-1][1]["tokens"] / 1e6)
                y.append(sum(losses) / len(losses))
    return curves(lines, _X, f"loss, {unit}, mean of {widths} steps" if widths != "1" else f"loss, {unit}")


def _smooth(values: Sequence[float], width: int) -> Iterator[float]:
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        yield sum(window) / len(window)
