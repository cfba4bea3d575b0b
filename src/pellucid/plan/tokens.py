"""Tokens and epochs by source and by category, over all training stages."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.plan.lengths import length_of
from pellucid.plan.mixing import StageMix, mix_stages
from pellucid.recipe.recipe import Recipe

__all__ = ["apportion", "category_rows", "source_rows", "stage_rows"]


def stage_rows(recipe: Recipe) -> list[dict[str, Any]]:
    """Return each training stage's tokens and steps; `trained_tokens` counts whole steps.

    `length_basis` says what they rest on, see `StageLength`: of a stage that reads conversations to the last one they may be an
    upper bound, or one step in place of what is not known.
    """
    return [
        {
            "name": stage.name,
            "objective": stage.objective,
            "tokens": length.tokens,
            "length_basis": length.basis,
            "steps": length.steps,
            "batch_tokens": stage.batch_tokens,
            "activation_checkpointing": stage.activation_checkpointing,
            "batch_sequences": stage.batch_seqs,
            "trained_tokens": length.steps * stage.batch_tokens * stage.rows_per_example,
        }
        for stage, length in ((stage, length_of(recipe, stage)) for stage in recipe.train)
    ]


def apportion(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Split a whole number by shares that add up to 1 into whole numbers that add up to it (largest remainders)."""
    exact = {name: total * share for name, share in shares.items()}
    parts = {name: int(part) for name, part in exact.items()}
    most_cut = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in most_cut[: max(0, total - sum(parts.values()))]:
        parts[name] += 1
    return parts


def source_rows(
    recipe: Recipe, available_tokens: Mapping[str, int] | None = None, mixes: Sequence[StageMix] | None = None
) -> list[dict[str, Any]]:
    """Return for each source its weight, share, tokens and epochs over all stages.

    `weight` is the recipe's, or the share where it gives none; `by` says what the first stage made it of; `capped` names the stages
    in which `max_epochs` took something away. tokens = share · length, summed over stages; epochs = tokens / tokens of one epoch,
    None where those are not known; `unique_tokens` is how many different tokens that can be at most. `available_tokens` (from
    shards that exist) goes before the recipe's own figures. `mixes` spares working them out again.
    """
    mixes = mix_stages(recipe, available_tokens) if mixes is None else mixes
    if not mixes:
        return []
    tokens = dict.fromkeys((source.name for source in recipe.sources), 0)
    for stage, mix in zip(recipe.text_stages, mixes, strict=True):
        for name, part in apportion(stage.length_tokens, mix.shares).items():
            tokens[name] += part
    total = sum(tokens.values())
    rows = []
    for source in recipe.sources:
        available = (available_tokens or {}).get(source.name, source.available_tokens)
        share = tokens[source.name] / total
        rows.append(
            {
                "name": source.name,
                "category": source.category,
                "language": source.language,
                "weight": share if source.weight is None else source.weight,
                "by": mixes[0].sources[source.name].by,
                "share": share,
                "tokens": tokens[source.name],
                "available_tokens": available,
                "epochs": tokens[source.name] / available if available else None,
                "unique_tokens": None if available is None else min(available, tokens[source.name]),
                "capped": [mix.stage for mix in mixes if mix.sources[source.name].capped],
            }
        )
    return rows


def category_rows(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tokens and share by category, the largest first."""
    totals: dict[str, int] = {}
    for row in sources:
        totals[row["category"]] = totals.get(row["category"], 0) + row["tokens"]
    everything = sum(totals.values())
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return [{"name": name, "tokens": tokens, "share": tokens / everything} for name, tokens in ordered]
