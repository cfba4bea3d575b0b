"""From what a recipe asks for (weights, epochs, caps, a temperature) to the share of every source in every training stage.

One pure function of the recipe and of how many tokens each source has. The plan calls it with the recipe's `available_tokens`,
training and its receipt with what the shards hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig

__all__ = ["SMALLEST_SHARE", "SourceMix", "StageMix", "mix_of", "mix_stages"]

# One sequence in a block of the order of data (`batches/mixture.py`). What a cap leaves below it is left out.
SMALLEST_SHARE = 2**-14
_ROUNDING = 1e-9


@dataclass(frozen=True)
class SourceMix:
    """One source in one stage. `amount` is what was asked for: the weight, or the epochs over this stage.

    `tokens` is its part of the stage's length. `wanted_tokens` is what it would have got without caps and scaling: it is more than
    `tokens` where a cap took something away, and less where others were capped.
    """

    by: Literal["weight", "size", "epochs"]
    amount: float
    tokens: float
    wanted_tokens: float
    capped: bool = False


@dataclass(frozen=True)
class StageMix:
    """One stage's mixture. `weights` is what the order of data is made with: shares are weights over their sum.

    `epochs_scale` is not 1 where all sources are given by epochs, which then are scaled together to the stage's length.
    """

    stage: str
    weights: dict[str, float]
    sources: dict[str, SourceMix]
    epochs_scale: float = 1.0

    @property
    def shares(self) -> dict[str, float]:
        """Each source's share of the stage's tokens; they add up to 1."""
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items()}


def mix_stages(recipe: Recipe, available_tokens: Mapping[str, int] | None = None) -> tuple[StageMix, ...]:
    """Return the mixture of every training stage that reads text, in order.

    `available_tokens` (from shards) go before the recipe's own figures. In a stage of L tokens, a source that is given by epochs e
    gets e·A of its A tokens (its own `epochs` are spread over the stages that do not name it, by their lengths). The others share
    what is left by their weights; with a temperature T a weight is A^(1/T) times what is given. None gets more than max_epochs·A,
    counted over the stages so far: what is above goes to the others by their weights.

    Raises `RecipeError` when a figure is needed that is not known, when epochs ask for more than a stage's length, when caps leave
    a part of it that no source can fill, and when a share is too small to be served.
    """
    available = {source.name: (available_tokens or {}).get(source.name, source.available_tokens) for source in recipe.sources}
    if problems := list(_unknown(recipe, available)):
        raise RecipeError(recipe.name, problems)
    known = {name: tokens or 0 for name, tokens in available.items()}
    used = dict.fromkeys(known, 0.0)
    mixes = []
    for index, stage in enumerate(recipe.train):
        if not stage.learns_from_text:
            continue
        mix = _mix(recipe, index, known, used)
        shares = mix.shares
        if problems := list(_too_small(recipe, index, mix)):
            raise RecipeError(recipe.name, problems)
        used = {name: tokens + stage.length_tokens * shares[name] for name, tokens in used.items()}
        mixes.append(mix)
    return tuple(mixes)


def mix_of(recipe: Recipe, stage: TrainStageConfig, available_tokens: Mapping[str, int] | None = None) -> StageMix:
    """Return the mixture of one stage of the recipe; see `mix_stages`."""
    return next(mix for mix in mix_stages(recipe, available_tokens) if mix.stage == stage.name)


def _caps(recipe: Recipe) -> dict[str, float]:
    """Return the most epochs that a weight may give, of the sources that have such a cap."""
    caps = {s.name: recipe.mixture.max_epochs if s.max_epochs is None else s.max_epochs for s in recipe.sources}
    return {name: cap for name, cap in caps.items() if cap is not None}


def _unknown(recipe: Recipe, available: Mapping[str, int | None]) -> Iterator[Problem]:
    """Yield what is asked for and cannot be worked out without the size of a source."""
    caps = _caps(recipe)
    for index, source in enumerate(recipe.sources):
        if available[source.name] is not None:
            continue
        reasons = []
        for stage in recipe.text_stages:
            weighted = recipe.weights_of(stage).get(source.name, 0) > 0
            if recipe.spread_epochs(stage).get(source.name) or (stage.epochs or {}).get(source.name):
                reasons.append("epochs")
            if weighted and recipe.temperature_of(stage) is not None:
                reasons.append("temperature")
            if weighted and source.name in caps:
                reasons.append("max_epochs")
        if reasons:
            yield Problem(
                f"sources[{index}].available_tokens",
                f"missing; {' and '.join(dict.fromkeys(reasons))} of {source.name!r} cannot be worked out without it",
                "an estimate will do: training counts the tokens of the shards",
            )


def _mix(recipe: Recipe, index: int, available: Mapping[str, int], used: Mapping[str, float]) -> StageMix:
    stage = recipe.train[index]
    length, temperature = stage.length_tokens, recipe.temperature_of(stage)
    epochs = _epochs_in(recipe, stage)
    given = {name: weight for name, weight in recipe.weights_of(stage).items() if name not in epochs}
    caps = _caps(recipe)
    if not epochs and temperature is None and not any(name in caps for name, weight in given.items() if weight):
        total = sum(given.values())
        plain = {name: SourceMix("weight", w, length * w / total, length * w / total) for name, w in given.items()}
        return StageMix(stage.name, given, plain)

    # Against the largest, so that no power overflows.
    largest = max((available[name] for name in given), default=0) or 1
    size = {name: 1.0 if temperature is None else (available[name] / largest) ** (1 / temperature) for name in given}
    weights = {name: weight * size[name] for name, weight in given.items()}
    fixed = {name: asked * available[name] for name, asked in epochs.items()}
    total, scale = sum(fixed.values()), 1.0
    if not any(weights.values()):
        if not total:
            raise RecipeError(recipe.name, [Problem(f"train[{index}]", "no source of this stage has any tokens")])
        scale = length / total
        fixed = {name: tokens * scale for name, tokens in fixed.items()}
    elif total > length * (1 + _ROUNDING):
        fix = f"set length_tokens to at least {round(total)}, or lower epochs"
        raise RecipeError(recipe.name, [_too_long(index, length, f"epochs alone ask for {round(total)} tokens", fix)])
    rest = max(0.0, length - total) if scale == 1.0 else 0.0
    rooms = {name: max(0.0, caps[name] * available[name] - used[name]) for name in weights if name in caps}
    rooms = {name: room if room >= SMALLEST_SHARE * length else 0.0 for name, room in rooms.items()}
    shared = _share_out(rest, weights, rooms)
    if sum(shared.values()) < rest * (1 - _ROUNDING):
        most = int(sum(fixed.values()) + sum(shared.values()))
        fix = f"set length_tokens to at most {most}, raise max_epochs, or give a source epochs"
        raise RecipeError(recipe.name, [_too_long(index, length, f"epochs and max_epochs allow for {most} tokens", fix)])
    kind: Literal["weight", "size"] = "weight" if temperature is None else "size"
    everything = sum(weights.values())
    sources = {}
    for source in recipe.sources:
        name = source.name
        if name in fixed:
            sources[name] = SourceMix("epochs", epochs[name], fixed[name], epochs[name] * available[name])
        else:
            wanted = rest * weights[name] / everything if everything else 0.0
            capped = name in rooms and weights[name] > 0 and shared[name] >= rooms[name] * (1 - _ROUNDING)
            sources[name] = SourceMix(kind, given[name], shared[name], wanted, capped)
    return StageMix(stage.name, {name: mix.tokens / length for name, mix in sources.items()}, sources, scale)


def _too_small(recipe: Recipe, index: int, mix: StageMix) -> Iterator[Problem]:
    """Yield the sources that would get less than one sequence of a block of the order of data."""
    least = SMALLEST_SHARE * recipe.train[index].length_tokens
    shares = mix.shares
    for number, source in enumerate(recipe.sources):
        asked, share = mix.sources[source.name], shares[source.name]
        if not 0 < share < SMALLEST_SHARE * (1 - _ROUNDING):
            continue
        field = {"epochs": "epochs", "weight": "weight", "size": "available_tokens"}[asked.by]
        if asked.by == "epochs" and source.name in (recipe.train[index].epochs or {}):
            place = f"train[{index}].epochs.{source.name}"
        elif asked.by == "weight" and source.name in (recipe.train[index].weights or {}):
            place = f"train[{index}].weights.{source.name}"
        else:
            place = f"sources[{number}].{field}"
        yield Problem(
            place,
            f"gives {source.name!r} {asked.tokens:.4g} of the {recipe.train[index].length_tokens} tokens of {mix.stage}; one "
            f"sequence in {round(1 / SMALLEST_SHARE)} is the least, {least:.4g} tokens",
            "give it more, give it weight 0, or put it together with another source",
        )


def _too_long(index: int, length: int, message: str, fix: str) -> Problem:
    return Problem(f"train[{index}].length_tokens", f"got {length}; {message}", fix)


def _epochs_in(recipe: Recipe, stage: TrainStageConfig) -> dict[str, float]:
    """Return the epochs over this stage of the sources that are given by epochs: the stage's own, and parts of the run's."""
    epochs = dict(stage.epochs or {})
    for name, over_run in recipe.spread_epochs(stage).items():
        lengths = sum(other.length_tokens for other in recipe.text_stages if name in recipe.spread_epochs(other))
        epochs[name] = over_run * stage.length_tokens / lengths
    return epochs


def _share_out(rest: float, weights: Mapping[str, float], rooms: Mapping[str, float]) -> dict[str, float]:
    """Share tokens by weights without going over anyone's room; less than `rest` in all only when every room is full."""
    shared = dict.fromkeys(weights, 0.0)
    waiting = {name: weight for name, weight in weights.items() if weight > 0}
    while waiting and rest > 0:
        total = sum(waiting.values())
        # Whoever is over the room now will be so whatever is passed on to it: rooms are filled, and the rest shared anew.
        full = [name for name, weight in waiting.items() if name in rooms and rest * weight / total >= rooms[name]]
        if not full:
            return shared | {name: rest * weight / total for name, weight in waiting.items()}
        for name in full:
            shared[name] = rooms[name]
            del waiting[name]
        rest -= sum(rooms[name] for name in full)
    return shared
