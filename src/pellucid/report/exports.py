"""The section of the page about exports: each beside the runtime that opened it, and how far it is from the checkpoint."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.units import format_bytes
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import section, table
from pellucid.report.sections import decimals, percent, whole

__all__ = ["exports"]

EXPORT = "exports/export.json"


def exports(facts: Facts, recipe: Recipe) -> Section | None:
    """What was written for other runtimes, and how far each answers as the checkpoint does, by its certificate."""
    certified, others = [], []
    for name, entry in facts.document(EXPORT)["formats"].items():
        size = facts.get(EXPORT, "formats", name, "facts", "bytes", show=format_bytes)
        if entry["certificate"] is None:
            at = ("formats", name, "facts")
            shown = facts.get(EXPORT, *at, "largest_logit_difference", show=brief)
            others.append(
                [name, facts.get(EXPORT, *at, "loaded_with"), size, shown, facts.get(EXPORT, *at, "positions", show=whole)]
            )
        else:
            certified.append([name, size, *_certified(facts, name, entry["certificate"])])
    parts: list[Block] = []
    if certified:
        heads = (
            "Export", "Size", "Opened in", "Loaded in, s", "Equal strings", "of", "Equal conversations", "of",
            "KL, mean", "KL, 99 %", "Same top token", "Perplexity", "of checkpoint", "Same choice",
        )  # fmt: skip
        caption = (
            "Each export was opened again in its runtime and compared with the checkpoint: ids of strings and conversations, "
            "Kullback-Leibler divergence of the next token's distributions in nats, perplexity, and choices on questions."
        )
        parts.append(table(heads, certified, caption=caption))
    if others:
        columns = ("Export", "Opened with", "Size", "Largest difference of a logit", "Positions")
        parts.append(table(columns, others, caption="Adapters: put on the weights below them and compared with the merged model."))
    return section("exports", "Exports", *parts)


def brief(value: float) -> str:
    """Return a small figure with three digits: 1.58e-08."""
    return f"{value:.3g}"


def _certified(facts: Facts, name: str, certificate: Mapping[str, Any]) -> list[Fact | str | None]:
    """The cells of one certificate."""

    def fact(*keys: str, show: Any = str) -> Fact:
        return facts.get(EXPORT, "formats", name, "certificate", *keys, show=show)

    counts: list[Fact | str | None] = [
        fact(part, key, show=whole) for part in ("strings", "conversations") for key in ("equal", "compared")
    ]
    distributions = [fact("distributions", "kl_nats", key, show=brief) for key in ("mean", "p99")]
    perplexity = [fact("distributions", "perplexity", key, show=decimals(2)) for key in ("export", "checkpoint")]
    same = fact("distributions", "same_top_token_frac", show=percent)
    choice = None if certificate["questions"] is None else fact("questions", "same_choice_frac", show=percent)
    return [fact("runtime"), fact("load_s", show=decimals(2)), *counts, *distributions, same, *perplexity, choice]
