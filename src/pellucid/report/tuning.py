"""The section about what came of a base model: conversations read, held-out examples before and after, what it knows of itself."""

from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.report.blocks import Block, Section, Table
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import curves
from pellucid.report.markup import figure, heading, paragraph, section, table
from pellucid.report.sections import decimals, percent, whole

__all__ = ["tuning"]

FUNNEL = "conversations/funnel.json"


def tuning(facts: Facts, recipe: Recipe) -> Section | None:
    """What stages of conversations and pairs read, and held-out losses and figures before and after each; empty without any."""
    stages = [stage for stage in recipe.train if not stage.learns_from_text]
    if not stages:
        return None
    parts: list[Block] = [_sources(facts, recipe)] if facts.has(FUNNEL) else []
    for stage in stages:
        parts += [heading(stage.name), _consumed(facts, stage)]
        if facts.has(f"{stage.name}/heldout.jsonl"):
            parts += _heldout(facts, stage)
        if stage.learns_from_pairs:
            parts += _margins(facts, stage)
        if facts.has(f"{stage.name}/self_knowledge.json"):
            parts += _self_knowledge(facts, stage)
    return section("tuning", "From base model to assistant", *parts)


def _sources(facts: Facts, recipe: Recipe) -> Table:
    counted = facts.document(FUNNEL)["sources"]
    reasons = sorted({reason for one in counted.values() for reason in one["dropped"]})
    rows: list[list[Fact | str | None]] = []
    for source in recipe.conversations:
        at = ("sources", source.name)
        row: list[Fact | str | None] = [source.name]
        row += [facts.get(FUNNEL, *at, key, show=whole) for key in ("read", "kept", "heldout")]
        row += [facts.get(FUNNEL, *at, "dropped", r, show=whole) if r in counted[source.name]["dropped"] else None for r in reasons]
        rows.append(row)
    columns = ("Source", "Read", "To learn from", "Held out", *(f"Dropped: {reason}" for reason in reasons))
    return table(columns, rows, caption="Conversations and pairs in = kept + held out + dropped.")


def _consumed(facts: Facts, stage: TrainStageConfig) -> Table:
    file = f"{stage.name}/receipt.json"
    rows: list[list[Fact | str | None]] = []
    for name in facts.document(file)["consumed"]["sources"]:
        at = ("consumed", "sources", name)
        row: list[Fact | str | None] = [name, facts.get(file, *at, "available", show=whole)]
        row += [facts.get(file, *at, "epochs", show=decimals(2)), facts.get(file, *at, "tokens", show=whole)]
        rows.append(row)
    return table(("Source", "Examples", "Epochs", "Tokens"), rows, caption=f"What {stage.name} read, padding not counted.")


def _heldout(facts: Facts, stage: TrainStageConfig) -> list[Block]:
    file = f"{stage.name}/heldout.jsonl"
    records = facts.document(file)
    last = len(records) - 1
    unit = "nats per pair" if stage.learns_from_pairs else "nats per target token"
    if stage.objective == "ipo":
        unit = "squared distance"
    rows: list[list[Fact | str | None]] = [
        [f"loss, {unit}", *(facts.get(file, n, "loss", show=decimals(4)) for n in (0, last))],
    ]
    for name in records[0].get("figures", {}):
        show = percent if name == "accuracy" else decimals(4)
        rows.append([name.replace("_", " "), *(facts.get(file, n, "figures", name, show=show) for n in (0, last))])
    rows.append(["examples scored", *(facts.get(file, n, "examples", show=whole) for n in (0, last))])
    caption = f"Held-out examples before the first step of {stage.name} and after its last."
    shown: list[Block] = [table(("", "Before", "After"), rows, caption=caption)]
    if last > 1:
        drawn = curves({"held out": ([r["step"] for r in records], [r["loss"] for r in records])}, "step", unit)
        shown.append(figure(drawn, f"Held-out loss over {stage.name}.", file))
    return shown


def _margins(facts: Facts, stage: TrainStageConfig) -> list[Block]:
    file = f"{stage.name}/metrics.jsonl"
    steps = [record for record in facts.document(file) if "figures" in record and not record["skipped"]]
    x = [record["step"] for record in steps]
    return [
        figure(
            curves({name: (x, [step["figures"][name] for step in steps])}, "step", name), f"{name.capitalize()} of each step.", file
        )
        for name in ("margin", "accuracy")
        if steps and name in steps[0]["figures"]
    ]


def _self_knowledge(facts: Facts, stage: TrainStageConfig) -> list[Block]:
    file = f"{stage.name}/self_knowledge.json"
    rows: list[list[Fact | str | None]] = [
        [title, *(facts.get(file, when, part, "share", show=percent) for when in ("before", "after"))]
        for title, part in (
            ("held-out questions about itself answered rightly", "heldout"),
            ("drawn answers that hold the token of negatives", "leak"),
        )
    ]
    told = [
        [one["question"], *(facts.get(file, when, "heldout", "answers", n, "answer") for when in ("before", "after"))]
        for n, one in enumerate(facts.document(file)["after"]["heldout"]["answers"][:8])
    ]
    text = "Questions are worded differently from those that it learnt from; an answer is right when it holds an expected string."
    return [
        table(("", "Before", "After"), rows, caption=f"What the model knows of itself, before and after {stage.name}."),
        paragraph(text),
        table(("Question", "Before", "After"), told, caption="The first of these questions.", numbers_from=9),
    ]
