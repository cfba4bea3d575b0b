"""The figures of one turn of a program, and of all its turns."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pellucid.core.energy import Spent
from pellucid.stages.contestant_process import Turn

__all__ = ["Figures", "summary", "turn_figures"]

_BY_ENERGY = ("watts", "joules_per_token")


class Figures(NamedTuple):
    """What one turn says. `energy_missing`: why it says nothing of watts and joules."""

    values: dict[str, float | None]
    energy_missing: str | None


def turn_figures(turn: Turn, prompt_tokens: int, spent: Spent) -> Figures:
    """Return the figures of one turn. Everything counts from the moment when all prompts were handed over.

    `prompt_tokens_per_s`: the prompts' tokens, less those that were reused, by the time until every sequence has its first new
    token. `decode_tokens_per_s`: the new tokens after that moment and up to the end of the first sequence that ends, by the time
    between (None where the sequences did not overlap). `tokens_per_s`: all new tokens by the whole time. `joules_per_token`: of
    the whole turn, prompts included, by new tokens. `cpu_frac`: processor time of the process, by the time of one core.
    """
    begin, end = max(times[0] for times in turn.at_s), min(times[-1] for times in turn.at_s)
    within = sum(begin < moment <= end for times in turn.at_s for moment in times)
    new = sum(map(len, turn.at_s))
    read = prompt_tokens * len(turn.at_s) - turn.reused_tokens
    values = {
        "prompt_tokens_per_s": read / begin,
        "decode_tokens_per_s": within / (end - begin) if end > begin else None,
        "tokens_per_s": new / max(times[-1] for times in turn.at_s),
        "first_token_s": statistics.median(times[0] for times in turn.at_s),
        "watts": None if spent.joules is None else spent.joules / turn.seconds,
        "joules_per_token": None if spent.joules is None else spent.joules / new,
        "cpu_frac": turn.cpu_s / turn.seconds,
    }
    return Figures(values, spent.missing)


def summary(rounds: Sequence[Figures]) -> dict[str, Any]:
    """Return median, least and most of each figure, with every round's; None where a round has none.

    Watts and joules are of the rounds that have them; `energy_missing` says why others have none, and of how many rounds, where
    it is not all.
    """
    found: dict[str, Any] = {}
    for name in rounds[0].values:
        values = [one.values[name] for one in rounds]
        there = [value for value in values if value is not None]
        found[name] = _spread(there) if there and (name in _BY_ENERGY or len(there) == len(values)) else None
    found["energy_missing"] = _reasons([one.energy_missing for one in rounds])
    return found


def _reasons(missing: Sequence[str | None]) -> str | None:
    times: Mapping[str, int] = Counter(reason for reason in missing if reason is not None)
    counted = (reason if many == len(missing) else f"{reason} ({many} of {len(missing)} rounds)" for reason, many in times.items())
    return "; ".join(counted) or None


def _spread(values: Iterable[float]) -> dict[str, Any]:
    kept = [float(f"{value:.6g}") for value in values]
    return {"median": float(f"{statistics.median(kept):.6g}"), "min": min(kept), "max": max(kept), "rounds": kept}
