"""What a reader of a plan should know: where it differs from what a report prints, what is unusual, what does not fit."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pellucid.core.units import format_bytes, format_count
from pellucid.plan.flops import flops_per_token, recomputed_flops_per_token
from pellucid.plan.mixing import StageMix
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["length_notes", "memory_notes", "mixture_notes", "printed_notes", "recompute_notes", "source_notes"]

PRINTED = Path(__file__).parent / "printed.yaml"


@cache
def _printed() -> list[dict[str, Any]]:
    tree = parse_yaml(PRINTED.read_text(encoding="utf-8"), Stamp("given", PRINTED.name))
    assert tree is not None
    rows: list[dict[str, Any]] = plain(tree)
    return rows


def spaced(number: float) -> str:
    """Return a whole number in groups of three digits."""
    return f"{round(number):,}".replace(",", " ")


def printed_notes(recipe: Recipe, parameters: int, tokens: int, hours: dict[str, float]) -> Iterator[str]:
    """Yield how a plan differs from the figures printed for the same model, and why."""
    model = recipe.model
    for row in _printed():
        if parameters != row["parameters"]:
            continue
        without = parameters - 2 * model.layers * model.hidden
        yield (
            f"{row['model']} ({row['source']}) prints {spaced(row['printed_parameters'])} parameters; the described model has "
            f"{spaced(parameters)}. The difference, {spaced(parameters - without)} = {model.layers} · 2 · {model.hidden}, is the "
            "bias of the two norms of every layer: the printed figure counts bias only in the final norm."
        )
        assert without == row["printed_parameters"]
        if tokens == row["tokens"]:
            yield (
                f"Its Table 1 prints {spaced(tokens)} tokens in total; the rows add up to {spaced(row['printed_rows_tokens'])}, "
                f"{tokens - row['printed_rows_tokens']} fewer. Its weights add up to {row['printed_weights']}, not 1: "
                f"{row['misprinted_source']}'s is printed as {row['misprinted_weight']}, and its tokens are "
                f"{row['misprinted_share']} of the whole."
            )
            low, high = (spaced(round(hours[key], -2)) for key in ("six_n", "with_attention"))
            part = round(100 * hours["with_attention"] / row["printed_device_hours"])
            yield (
                f"It reports about {spaced(row['printed_device_hours'])} device-hours. These tokens take {low} (6N) to {high} "
                f"(with attention), {part} % of them at most; the other hours are not accounted for in the report."
            )


def source_notes(recipe: Recipe, sources: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is unusual about the mix: weights that do not add up to 1, sources read many times."""
    weights = sum(source.weight or 0 for source in recipe.sources)
    if abs(weights - 1) > 1e-9 and abs(weights - 1) < 0.02 and all(source.weight is not None for source in recipe.sources):
        yield f"The sources' weights add up to {weights:.6g}, not 1; shares are weights over their sum."
    often = [f"{row['name']} ({row['epochs']:.1f})" for row in sources if row["epochs"] and row["epochs"] > 4.05]
    if often:
        yield (
            f"Read more than four times: {', '.join(often)}. Up to four epochs repeated data is nearly as good as new, beyond that "
            "its value fades (Muennighoff et al. 2023, arXiv 2305.16264)."
        )
    unknown = [row["name"] for row in sources if row["epochs"] is None and row["tokens"]]
    if unknown:
        which = "any source" if len(unknown) == len(sources) else ", ".join(unknown)
        yield f"Epochs of {which} are unknown until there are shards, or available_tokens in the recipe."


def mixture_notes(mixes: Iterable[StageMix]) -> Iterator[str]:
    """Yield what became of the recipe's intentions: sources that a cap held back, epochs that were scaled to a stage's length."""
    for mix in mixes:
        for name, source in mix.sources.items():
            if source.capped:
                yield (
                    f"{mix.stage}: max_epochs holds {name} to {format_count(source.tokens)} tokens; by {source.by} alone it would "
                    f"get {format_count(source.wanted_tokens)}. The others share the rest."
                )
        if abs(mix.epochs_scale - 1) > 1e-6:
            yield (
                f"{mix.stage}: all sources are given by epochs, and length_tokens is {mix.epochs_scale:.6g} times what they add up "
                "to; the epochs are scaled to it."
            )


def recompute_notes(config: ModelConfig, stage: TrainStageConfig) -> Iterator[str]:
    """Yield how much work a stage's activation checkpointing adds that time, cost and energy do not count."""
    if stage.activation_checkpointing == "block":
        again = recomputed_flops_per_token(config, stage.seq_tokens) / flops_per_token(config, stage.seq_tokens)["matmul"]
        yield (
            f"{stage.name}: activation_checkpointing block computes the forward pass of every block twice: {again:.0%} more work "
            "than time, cost and energy count here."
        )


def length_notes(stage: TrainStageConfig, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not known of a stage that reads examples, and what its cost leaves out."""
    if stage.learns_from_text:
        return
    if not row["length_is_known"]:
        yield f"{stage.name}: planned as one step, because its length is not known before its examples are there."
    elif stage.packing == "none":
        yield f"{stage.name}: each example is a sequence by itself, so there are more steps than tokens / batch_tokens says."
    if stage.learns_from_pairs:
        yield f"{stage.name}: the forward pass that finds the reference's log-probabilities is not counted."


def memory_notes(memory: dict[str, dict[str, Any]], memory_bytes: int, stage: str) -> Iterator[str]:
    """Yield whether a stage fits its device, and the least that would make it fit."""
    if memory["none"]["total"] <= memory_bytes:
        return
    ways = [(f"sharding {name}", memory[name]["total"]) for name in ("zero1", "full")]
    for mode, key in (("selective", "total_selective"), ("block", "total_checkpointed")):
        ways += [(f"activation_checkpointing {mode} with sharding {name}", memory[name][key]) for name in memory]
    fitting = next((f"{way} needs {format_bytes(size)}" for way, size in ways if size <= memory_bytes), None)
    fix = fitting or "a smaller micro_seqs or a device with more memory is needed"
    yield (
        f"{stage}: unsharded it needs {format_bytes(memory['none']['total'])} per device, "
        f"which has {format_bytes(memory_bytes)}; {fix}."
    )
