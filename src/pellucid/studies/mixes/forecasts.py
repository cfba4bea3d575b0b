"""Mixes forecast by a mixing law, beside two simple peers, and what came: law of each group of text, errors, held-out mixes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.evals.statistics import Floats
from pellucid.plan.printed_mixes import printed_mixes
from pellucid.studies.mixes.law import (
    Law,
    LawFit,
    fit_law,
    forecast_law,
    forecast_linear,
    independent_shares,
    lies_in,
    refit_laws,
    without_seeds,
)
from pellucid.studies.mixes.shares import knows_sources, label_by, level_shares
from pellucid.studies.mixes.tables import Group
from pellucid.studies.results import RunResult

__all__ = ["forecast_mixes"]

_GROUPINGS = {True: ("row", "kind", "own"), False: ("category", "kind", "own")}
"""What sources are put together by, for the mixes of the report and for others, from many domains to few: the first that leaves
fewer parameters than mixes is taken."""

Shares = Mapping[str, Mapping[str, float]]
"""Shares of domains by level."""


@dataclass(frozen=True)
class _Data:
    """Fitted runs of one group of text: shares of domains [N, M], losses [N] without what seeds share, levels, and those seeds."""

    domains: tuple[str, ...]
    shares_NM: Floats
    losses_N: Floats
    levels: tuple[str, ...]
    seeds: int


def forecast_mixes(
    runs: Sequence[RunResult], axis: str, groups: Sequence[Group], forecast: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return the mixing law of each group of text and what it says of the levels that it was not fitted to.

    `fitted`, `forecast`: levels. `groups`: by group `kind`, `group`, `by` (row of Table 9, category, kind or own: how sources were
    put together into domains), `domains` (those that any fitted mix reads), `mixes`, `runs`, `parameters`, `c`, `k`, `t` by domain,
    `residual` (root mean square), `left_out_run` and `left_out_mix` (root mean square errors of `law`, `linear`, `mean` when each
    run, or each mix with all its seeds, is forecast from the others, and `count`, those of them that lie where the others do),
    `forecasts`, and `note`: why there is no law. A forecast has `level`, `runs`, `came` (mean over seeds), `law` (`value`, `low`,
    `high`), `inside`, `linear`, `neighbours` (the mean of the two fitted mixes whose shares are nearest, which `nearest` names),
    `mean`, and `note`. `summary` has over all forecasts `count`, `inside`, `with_interval`, `above` (how many came above the law's
    value), and mean absolute errors of `law`, `linear`, `neighbours` and `mean`. `notes` say what was left out.
    """
    comparable = [run for run in runs if axis in run.levels and run.is_comparable]
    held = [level for level in forecast if any(run.levels[axis] == level for run in comparable)]
    fitted = list(dict.fromkeys(run.levels[axis] for run in comparable if run.levels[axis] not in forecast))
    notes = [f"{level} was to be forecast and has no run that came to its end." for level in forecast if level not in held]
    if not knows_sources(comparable):
        notes.append("The category and language of sources are not known: no law is fitted.")
        return {"fitted": fitted, "forecast": held, "groups": [], "summary": None, "notes": notes}
    told = [_of_group(comparable, axis, group, fitted, held, seed) for group in groups]
    return {"fitted": fitted, "forecast": held, "groups": told, "summary": _summary(told), "notes": notes}


def _of_group(
    runs: Sequence[RunResult], axis: str, group: Group, fitted: Sequence[str], held: Sequence[str], seed: int
) -> dict[str, Any]:
    """Fit the law of one group in the finest domains that allow it."""
    scored = [run for run in runs if math.isfinite(group.bits(run))]
    at = {"kind": group.kind, "group": group.name}
    for by in _GROUPINGS[{run.levels[axis] for run in scored} <= set(printed_mixes().mixes)]:
        shares = _shares(scored, axis, by, group)
        data = _data([run for run in scored if run.levels[axis] in fitted], axis, group, shares)
        if data is not None and _is_enough(data):
            return (
                at
                | {"by": by, "note": None}
                | _fitted(data, scored, (axis, group), {level: shares[level] for level in held if level in shares}, seed)
            )
    count = len({run.levels[axis] for run in scored} & set(fitted))
    note = f"no law: {count} mixes do not tell as many parameters as it has, even with all text but its own as one domain"
    nothing = dict.fromkeys(
        ("by", "domains", "mixes", "runs", "parameters", "c", "k", "t", "residual", "left_out_run", "left_out_mix")
    )
    return at | nothing | {"forecasts": [], "note": note}


def _shares(runs: Sequence[RunResult], axis: str, by: str, group: Group) -> Shares:
    """Return the shares of domains by level; by "own" these are the group's own text and the rest."""
    sources = {name: of for run in runs for name, of in run.sources.items()}
    if by != "own":
        return level_shares(runs, axis, label_by(sources, by))
    if group.kind not in ("language", "category", "source"):
        return {}
    label = label_by(sources, group.kind)
    return level_shares(runs, axis, lambda name: group.name if label(name) == group.name else "other text")


def _data(runs: Sequence[RunResult], axis: str, group: Group, shares: Shares) -> _Data | None:
    """Return what there is to fit; None without domains. What seeds share is taken out where each has every mix."""
    if not runs or not shares:
        return None
    levels = tuple(run.levels[axis] for run in runs)
    domains = tuple(next(iter(shares.values())))
    losses_N, seeds_N = np.array([group.bits(run) for run in runs]), np.array([run.seed for run in runs])
    shares_NM = np.array([[shares[level][domain] for domain in domains] for level in levels])
    mixes = {seed: sorted(level for level, one in zip(levels, seeds_N, strict=True) if one == seed) for seed in seeds_N.tolist()}
    if len(mixes) > 1 and len({tuple(one) for one in mixes.values()}) == 1:
        return _Data(domains, shares_NM, without_seeds(losses_N, seeds_N), levels, len(mixes))
    return _Data(domains, shares_NM, losses_N, levels, 1)


def _is_enough(data: _Data) -> bool:
    """Tell whether there are more mixes than parameters, enough of them different, and anything that varies."""
    directions = independent_shares(data.shares_NM).shape[1]
    different = len(np.unique(data.shares_NM.round(6), axis=0))
    return bool(directions > 1 and len(set(data.levels)) > directions + 1 and different >= directions + 1)


def _fitted(
    data: _Data, runs: Sequence[RunResult], of: tuple[str, Group], held: Mapping[str, Mapping[str, float]], seed: int
) -> dict[str, Any]:
    axis, group = of
    found = fit_law(data.shares_NM, data.losses_N, data.seeds)
    told = found.told()
    read = [domain for domain, most in zip(data.domains, data.shares_NM.max(axis=0), strict=True) if most > 0]
    forecasts = []
    for level, shares in held.items():
        values = [group.bits(run) for run in runs if run.levels[axis] == level]
        shares_M = np.array([shares[domain] for domain in data.domains])
        one: dict[str, Any] = {"level": level, "runs": len(values), "came": math.fsum(values) / len(values), "note": None}
        one |= {"law": None, "inside": None, "linear": None, "mean": float(data.losses_N.mean()), **_neighbours(data, shares_M)}
        if found.reaches(shares_M):
            law = forecast_law(found, shares_M, len(values), seed)
            one |= {"law": {"value": law.value, "low": law.low, "high": law.high}, "inside": law.holds(one["came"])}
            one["linear"] = forecast_linear(data.shares_NM, data.losses_N, shares_M)
        else:
            one["note"] = "no forecast: it changes shares that no fitted mix changes in this way"
        forecasts.append(one)
    return {
        "domains": read,
        "mixes": len(set(data.levels)),
        "runs": len(data.levels),
        "parameters": found.parameters,
        "c": told["c"],
        "k": told["k"],
        "t": {domain: t for domain, t in zip(data.domains, told["t"], strict=True) if domain in read},
        "residual": float(np.sqrt(np.mean(found.residual**2))),
        "left_out_run": _left_out(data, found.law, [np.arange(len(data.levels)) == row for row in range(len(data.levels))]),
        "left_out_mix": _left_out(data, found.law, [np.array(data.levels) == level for level in dict.fromkeys(data.levels)]),
        "forecasts": forecasts,
    }


def _neighbours(data: _Data, shares_M: Floats) -> dict[str, Any]:
    """Return the two fitted mixes nearest to some shares (by the share of text that differs), and the mean of their runs."""
    far = {level: float(np.abs(data.shares_NM[row] - shares_M).sum()) for row, level in enumerate(data.levels)}
    nearest = sorted(far, key=lambda level: far[level])[:2]
    means = [np.mean([loss for loss, at in zip(data.losses_N, data.levels, strict=True) if at == level]) for level in nearest]
    return {"nearest": nearest, "neighbours": float(np.mean(means))}


def _left_out(data: _Data, law: Law, parts: Sequence[np.ndarray[Any, Any]]) -> dict[str, Any]:
    """Return the errors when each part of the runs is forecast from the others, as far as they allow."""
    errors: dict[str, list[float]] = {"law": [], "linear": [], "mean": []}
    for out_N in parts:
        rest_NM, rest_N, out_M = data.shares_NM[~out_N], data.losses_N[~out_N], data.shares_NM[out_N][0]
        base_MP = independent_shares(rest_NM)
        if not lies_in(base_MP, out_M) or len(np.unique(rest_NM.round(6), axis=0)) < base_MP.shape[1] + 1:
            continue
        came = float(data.losses_N[out_N].mean())
        constants_R, slopes_RM = refit_laws(LawFit(law, rest_NM, rest_N, base_MP, 0), rest_N[None, :])
        errors["law"].append(float(Law(float(constants_R[0]), slopes_RM[0]).predict(out_M[None, :])[0]) - came)
        errors["linear"].append(forecast_linear(rest_NM, rest_N, out_M) - came)
        errors["mean"].append(float(rest_N.mean()) - came)
    told: dict[str, Any] = {name: float(np.sqrt(np.mean(np.square(of)))) if of else None for name, of in errors.items()}
    return told | {"count": len(errors["law"])}


def _summary(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how the forecasts of all groups fared together."""
    made = [one for group in groups for one in group["forecasts"] if one["law"] is not None]

    def error(of: Callable[[Mapping[str, Any]], float]) -> float | None:
        return math.fsum(abs(of(one) - one["came"]) for one in made) / len(made) if made else None

    return {
        "count": len(made),
        "inside": sum(one["inside"] is True for one in made),
        "with_interval": sum(one["inside"] is not None for one in made),
        "above": sum(one["came"] > one["law"]["value"] for one in made),
        "law": error(lambda one: float(one["law"]["value"])),
        "linear": error(lambda one: float(one["linear"])),
        "neighbours": error(lambda one: float(one["neighbours"])),
        "mean": error(lambda one: float(one["mean"])),
    }
