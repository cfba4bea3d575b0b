"""The section of the page about exports: each beside the runtime that opened it, and how far it is from the checkpoint."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.units import format_bytes
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Cell, Inline, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import paragraph, section, table
from pellucid.report.sections import SCORES, checkpoint_of, decimals, later_stages, percent, whole

__all__ = ["exports"]

EXPORT = "exports/export.json"


def exports(facts: Facts, recipe: Recipe) -> Section | None:
    """What was written for other runtimes, and how far each answers as the checkpoint does, by its certificate."""
    opened: list[list[Cell]] = []
    answered: list[list[Cell]] = []
    others: list[list[Cell]] = []
    for name, entry in facts.document(EXPORT)["formats"].items():
        size = facts.get(EXPORT, "formats", name, "facts", "bytes", show=format_bytes)
        if entry["certificate"] is None:
            at = ("formats", name, "facts")
            difference = facts.get(EXPORT, *at, "largest_logit_difference", show=brief)
            positions = facts.get(EXPORT, *at, "positions", show=whole)
            others.append([name, facts.get(EXPORT, *at, "loaded_with"), size, difference, positions])
        else:
            opened.append([name, *_opened(facts, name, size)])
            answered.append([name, *_answered(facts, name, entry["certificate"])])
    parts: list[Block] = [_exported(facts, recipe)]
    if opened:
        heads = ("Export", "Opened in", "Size", "Loaded in, s", "Equal strings", "Equal conversations")
        caption = (
            "Each export was opened again in its runtime; strings and conversations gave the checkpoint's ids there, of so many."
        )
        parts.append(table(heads, opened, caption=caption, numbers_from=2))
        columns = ("Export", "KL, mean", "KL, 99 %", "Same top token", "Perplexity", "of checkpoint", "Same choice")
        caption = (
            "Compared with the checkpoint: Kullback-Leibler divergence of the next token's distributions in nats, perplexity, and "
            "choices on questions."
        )
        parts += [table(columns, answered, caption=caption), paragraph(*_other_text(facts, recipe))]
    if others:
        adapters = ("Export", "Opened with", "Size", "Largest difference of a logit", "Positions")
        parts.append(table(adapters, others, caption="Adapters: put on the weights below them and compared with the merged model."))
    return section("exports", "Exports", *parts)


def _exported(facts: Facts, recipe: Recipe) -> Block:
    step = facts.known(EXPORT, "checkpoint_step", otherwise="its last", show=whole)
    return paragraph(f"Exported was the checkpoint of {recipe.train[-1].name} after step ", step, ".")


def _other_text(facts: Facts, recipe: Recipe) -> tuple[Inline, ...]:
    """Say of what text the perplexity is, and why the held-out scores have another."""
    entries = facts.document(EXPORT)["formats"]
    name = next(name for name, entry in entries.items() if entry["certificate"] is not None)
    tokens = facts.get(EXPORT, "formats", name, "certificate", "distributions", "perplexity", "tokens", show=whole)
    read = "the beginnings of held-out documents, as many of each source" if recipe.sources else "texts that come with Pellucid"
    told: tuple[Inline, ...] = (
        "Perplexity is here of ",
        tokens,
        f" tokens: {read}, cut into short windows. It only serves to compare",
    )
    if not facts.has(SCORES):
        return *told, " the two."
    other = checkpoint_of(facts, ", and of another checkpoint, ") if later_stages(facts, recipe) else ()
    return *told, " the two; that of the held-out scores is of all held-out text", *other, "."


def brief(value: float) -> str:
    """Return a small figure with three digits: 1.58e-08."""
    return f"{value:.3g}"


def _opened(facts: Facts, name: str, size: Fact) -> list[Cell]:
    """Where an export was opened, and whether words became the same tokens there."""
    certificate = ("formats", name, "certificate")
    equal: list[Cell] = [
        (
            facts.get(EXPORT, *certificate, part, "equal", show=whole),
            " of ",
            facts.get(EXPORT, *certificate, part, "compared", show=whole),
        )
        for part in ("strings", "conversations")
    ]
    loaded = facts.get(EXPORT, *certificate, "load_s", show=decimals(2))
    return [facts.get(EXPORT, *certificate, "runtime"), size, loaded, *equal]


def _answered(facts: Facts, name: str, certificate: Mapping[str, Any]) -> list[Cell]:
    """How far an export's answers are from the checkpoint's."""

    def fact(*keys: str, show: Any = str) -> Fact:
        return facts.get(EXPORT, "formats", name, "certificate", *keys, show=show)

    divergence = [fact("distributions", "kl_nats", key, show=brief) for key in ("mean", "p99")]
    perplexity = [fact("distributions", "perplexity", key, show=decimals(2)) for key in ("export", "checkpoint")]
    same = fact("distributions", "same_top_token_frac", show=percent)
    choice = None if certificate["questions"] is None else fact("questions", "same_choice_frac", show=percent)
    return [*divergence, same, *perplexity, choice]
