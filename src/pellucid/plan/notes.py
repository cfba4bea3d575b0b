"""What a reader of a plan should know: what is unusual about the mix, what does not fit, what is not counted."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pellucid.core.units import format_bytes, format_count
from pellucid.plan.dealing import dealing_problem
from pellucid.plan.devices import Device
from pellucid.plan.flops import flops_per_token, recomputed_flops_per_token
from pellucid.plan.gpus import UNLISTED
from pellucid.plan.mixing import StageMix
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = [
    "device_notes",
    "fit_notes",
    "length_notes",
    "mixture_notes",
    "recompute_notes",
    "source_notes",
    "spaced",
    "unlisted_notes",
]


def spaced(number: float) -> str:
    """Return a whole number in groups of three digits."""
    return f"{round(number):,}".replace(",", " ")


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
    """Yield how much work a stage's activation checkpointing adds."""
    if stage.activation_checkpointing == "block":
        again = recomputed_flops_per_token(config, stage.seq_tokens) / flops_per_token(config, stage.seq_tokens)["matmul"]
        yield (
            f"{stage.name}: activation_checkpointing block computes the forward pass of every block twice: {again:.0%} more work "
            "than `matmul` counts; the step's time includes it."
        )


def length_notes(stage: TrainStageConfig, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not known of a stage that reads examples, and what its cost leaves out."""
    if stage.learns_from_text:
        return
    basis = row["length_basis"]
    if basis == "one_step":
        yield (
            f"{stage.name}: its length is not known before its examples are there; tokens, time and cost hold one step of it. Give "
            "available_examples, and available_tokens where you know them, with its conversations."
        )
    elif basis == "at_most":
        yield (
            f"{stage.name}: {spaced(row['steps'])} steps at most, as if each example filled a sequence of {stage.seq_tokens} "
            "tokens; how long examples are is not known before they are there."
        )
    elif basis == "about":
        yield (
            f"{stage.name}: counted are two answers to each of its first messages, as if each filled a sequence of "
            f"{stage.seq_tokens} tokens; the facts' own questions come on top, self_knowledge.shot_repeats times."
        )
    elif stage.packing == "none":
        yield f"{stage.name}: each example is a sequence by itself, so there are more steps than tokens / batch_tokens says."
    if stage.learns_from_pairs:
        yield f"{stage.name}: the forward pass that finds the reference's log-probabilities is not counted."


def fit_notes(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield that a stage does not fit its devices, or cannot be dealt out to so many, and the cheapest change that helps."""
    fit = row["fit"]
    if fit["refused"] is not None:
        fix = fit["fix"] or "no number of these devices would do"
        yield f"{row['name']}: training refuses this layout: {fit['refused']}; {fix}."
    elif not fit["fits"]:
        fix = fit["fix"] or "no device of the table, nor any number of these, is enough"
        yield (
            f"{row['name']}: needs {format_bytes(fit['needs_bytes'])} per device, which has {format_bytes(fit['usable_bytes'])} "
            f"for it; {fix}."
        )


def device_notes(stage: TrainStageConfig, devices: int) -> Iterator[str]:
    """Yield that the last micro-batch of a device is smaller than the others, where the batch can be dealt out at all."""
    share = stage.batch_seqs * stage.parallel.tensor_ways // devices
    if dealing_problem(stage, devices) is None and share % stage.micro_seqs:
        whole, rest = divmod(share, stage.micro_seqs)
        parts = f"after {whole} of {stage.micro_seqs} its last micro-batch has {rest}" if whole else f"micro_seqs {share} would do"
        yield f"{stage.name}: of a batch each device has {share} of {stage.batch_seqs} sequences; {parts}."


def unlisted_notes(device: Device) -> Iterator[str]:
    """Yield that this machine's GPU is not in the table, and what is therefore no more than a guess between wide bounds."""
    if device.sources.get("power_w") == UNLISTED:
        yield (
            f"{device.title}: power, price, links and the shares of peak and bandwidth that training reaches are not known; they "
            "are taken between the bounds of all GPUs of the table. Set plan.device to a row that is like it, and "
            "plan.price_per_device_hour to what it costs."
        )
