"""A law of loss over a ladder of sizes: which one the runs can identify, its parameters, and its forecast of another rung.

The law is that of Hoffmann et al. 2022 (arXiv 2203.15556, approach 3), L = E + A/N^a + B/D^b. Where tokens D are tied to
parameters N, as on a model ladder (Bhagia et al. 2024, arXiv 2412.04403), the two terms cannot be told apart, and neither is
fitted: what the runs identify is L = E + A/C^a of the compute C. With two rungs even E is out of reach, and the line A/C^a of
Kaplan et al. 2020 (arXiv 2001.08361) is left.

Intervals are by bootstrap, as those of Besiroglu et al. 2024 (arXiv 2404.10102), but few seeds on few rungs are too few to draw
whole runs from. What is drawn are residuals of logs: each run of a replica is the fitted law at its rung, plus a residual of any
seed about the mean of its rung (made larger by √(n/(n-1)), because a mean of n lies nearer to its seeds than the truth does),
plus a normal deviation of its rung from the law. How large both are is drawn as well, as few degrees of freedom tell it: seeds'
residuals by √(f/χ²_f), as in Student's t, and the scatter of rungs from (S + s²)/χ²_(g+1), where S is the sum of squares about the
law, with g degrees of freedom, and s² is the variance over seeds, which counts as one degree more: on a ladder with as many rungs
as the law has parameters, it is all that is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pellucid.core.seeds import derive_seed
from pellucid.evals.statistics import Floats
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.scaling.power_law import HUBER_DELTA, MOST_EXPONENT, PowerLaws, fit_power_laws

__all__ = ["RESAMPLES", "Forecast", "Kind", "LossLaw", "Rung", "fit_loss_law", "is_tied", "line_at", "which_law"]

Places = npt.NDArray[np.intp]

Kind = Literal["floor", "line", "full"]
"""floor: L = E + A/C^a; line: L = A/C^a; full: L = E + A/N^a + B/D^b."""

RESAMPLES = 1000
_FORMULAS = {"floor": "L = E + A / C^a", "line": "L = A / C^a", "full": "L = E + A / N^a + B / D^b"}
_PARAMETERS = {"floor": 3, "line": 2, "full": 5}
_TIED = 0.1  # spread of log D about its line over log N, against that along it
_NORMAL = 400  # normal residuals to draw from
_RUNS_EACH = 8  # runs drawn from each replica's forecast
_MOST_NOISE = 50.0  # far beyond what 95 % need, and near enough for no number to overflow
_RESAMPLED = (
    "residuals of log loss: of seeds about the mean of their rung, from all rungs together, and normal ones of rungs about the "
    "law; how large both are is drawn too, as their few degrees of freedom tell it"
)


@dataclass(frozen=True)
class _Noise:
    """What is drawn: residuals of seeds, how much larger or smaller each of B replicas has them, and how its rungs scatter.

    `rung_spread` is what rungs scatter beyond their seeds, `off_law_p` the p that they do not.
    """

    residuals_J: Floats
    larger_B: Floats
    scatter_B: Floats
    rung_spread: float
    off_law_p: float | None

    def drawn(self, random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Return residuals of runs; the last axis is that of the replicas."""
        return np.asarray(self.larger_B * random.choice(self.residuals_J, shape), dtype=np.float64)

    def deviations(self, random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Return deviations of rungs from the law; the last axis is that of the replicas."""
        return np.asarray(self.scatter_B * random.standard_normal(shape), dtype=np.float64)


@dataclass(frozen=True)
class Rung:
    """One size of a ladder: parameters, tokens, FLOPs of its training, and one loss for each seed that was run."""

    name: str
    parameters: float
    tokens: float
    flops: float
    losses: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean loss over seeds; not a number without."""
        return math.fsum(self.losses) / len(self.losses) if self.losses else math.nan


@dataclass(frozen=True)
class Forecast:
    """A loss forecast: `low` to `high` hold a run of a new seed in 95 of 100 cases, `law_low` to `law_high` the law alone."""

    value: float
    low: float | None = None
    high: float | None = None
    law_low: float | None = None
    law_high: float | None = None


@dataclass(frozen=True)
class LossLaw:
    """A fitted law, and what its replicas say of how sure it is: these and `noise` are None where nothing tells that.

    `seed_spread` is the standard deviation of log loss over seeds, None where no rung has two.
    """

    kind: Kind
    why: str
    rungs: tuple[Rung, ...]
    fitted: PowerLaws
    replicas: PowerLaws | None
    noise: _Noise | None
    seed_spread: float | None
    seed: int

    def sizes(self, rungs: Sequence[Rung]) -> Floats:
        """Return the sizes that the law is of, [M, K]."""
        return _sizes(self.kind, rungs)

    def forecast(self, rung: Rung) -> Forecast:
        """Return the loss at a rung, with intervals where there are replicas."""
        sizes_1K = self.sizes([rung])
        value = float(self.fitted.at(sizes_1K)[0, 0])
        if self.replicas is None or self.noise is None:
            return Forecast(value)
        law_B = self.replicas.at(sizes_1K)[:, 0]
        # Equal sizes get equal draws, so that a band is smooth.
        random = np.random.default_rng(derive_seed(self.seed, "forecast"))
        shape = (_RUNS_EACH, len(law_B))
        noise_XB = self.noise.drawn(random, shape) + self.noise.deviations(random, shape)
        low, high = np.quantile(law_B * np.exp(noise_XB), [0.025, 0.975])
        law_low, law_high = np.quantile(law_B, [0.025, 0.975])
        return Forecast(value, float(low), float(high), float(law_low), float(law_high))

    def to_json(self) -> dict[str, Any]:
        """Return the law without its replicas.

        `kind`, `formula`, `why`; `rungs` it was fitted to, by name, and `runs`, how many; `parameters`: `name`, `value`, `low` and
        `high` (95 %, None without replicas), `at_bound` ("least", "greatest" or None) and `at_bound_share` of the replicas;
        `huber_delta`, `resamples`, `resampled`; `seed_spread_percent`; `rung_spread_percent`, what rungs scatter about the law
        beyond what their seeds explain, and `off_law_p`, the p of the F test that they do not: None where there are too few rungs.
        """
        percent, noise = None if self.seed_spread is None else 100 * self.seed_spread, self.noise
        return {
            "kind": self.kind,
            "formula": _FORMULAS[self.kind],
            "why": self.why,
            "rungs": [rung.name for rung in self.rungs],
            "runs": sum(len(rung.losses) for rung in self.rungs),
            "parameters": self._parameters(),
            "huber_delta": HUBER_DELTA,
            "resamples": 0 if self.noise is None else len(self.noise.larger_B),
            "resampled": _RESAMPLED,
            "seed_spread_percent": percent,
            "rung_spread_percent": 100 * noise.rung_spread if noise is not None and noise.off_law_p is not None else None,
            "off_law_p": None if noise is None else noise.off_law_p,
        }

    def _parameters(self) -> list[dict[str, Any]]:
        drawn = self.fitted if self.replicas is None else self.replicas
        # A floor of a millionth of the loss is none.
        no_floor = 1e-6 * min(rung.mean for rung in self.rungs)
        rows = [] if self.kind == "line" else [self._parameter("E", self.fitted.floor_R, drawn.floor_R, (no_floor, math.inf))]
        for place, (factor, exponent) in enumerate((("A", "a"), ("B", "b"))[: len(self.fitted.reference_K)]):
            value, draws = ((laws.factors[:, place], laws.exponents_RK[:, place]) for laws in (self.fitted, drawn))
            rows.append(self._parameter(factor, value[0], draws[0], (0.0, math.inf)))
            rows.append(self._parameter(exponent, value[1], draws[1], (0.0, MOST_EXPONENT)))
        return rows

    def _parameter(self, name: str, value_1: Floats, drawn_B: Floats, bounds: tuple[float, float]) -> dict[str, Any]:
        value, (least, greatest) = float(value_1[0]), bounds
        row: dict[str, Any] = {"name": name, "value": value, "low": None, "high": None, "at_bound": None, "at_bound_share": None}
        if value <= least or value >= greatest:
            row["at_bound"] = "least" if value <= least else "greatest"
        if self.replicas is not None:
            low, high = np.quantile(drawn_B, [0.025, 0.975])
            share = float(np.mean((drawn_B <= least) | (drawn_B >= greatest)))
            row |= {"low": float(low), "high": float(high), "at_bound_share": share}
        return row


def is_tied(rungs: Sequence[Rung]) -> bool:
    """Tell whether sizes lie on one line of log N and log D, so that nothing can tell parameters from tokens."""
    logs_G2 = np.log([[rung.parameters, rung.tokens] for rung in rungs])
    along, across = np.linalg.svd(logs_G2 - logs_G2.mean(axis=0), compute_uv=False)[:2] if len(rungs) > 1 else (0.0, 0.0)
    return bool(across <= _TIED * along)


def which_law(rungs: Sequence[Rung]) -> tuple[Kind | None, str]:
    """Return the law with most parameters that these rungs identify, and why; None with fewer than two sizes."""
    sizes = {(rung.parameters, rung.tokens) for rung in rungs}
    if len(sizes) < 2:
        return None, "One size is no ladder: no law can be fitted."
    if len(sizes) == 2:
        return "line", "Two sizes identify a straight line of logs, not a floor; that there is none is assumed, not found."
    if is_tied(rungs):
        words = (
            "Tokens are tied to parameters, so that their terms cannot be told apart: a law of compute is what the runs identify."
        )
        rest = len(sizes) - 3
        told = f"{rest} more than it has parameters" if rest else "as many as it has parameters, so that nothing is left to test it"
        return "floor", f"{words} It is fitted to {len(sizes)} sizes, {told}."
    ways = [len({size[place] for size in sizes}) for place in (0, 1)]
    if len(sizes) >= _PARAMETERS["full"] and min(ways) >= 3:
        return "full", f"{ways[0]} numbers of parameters meet {ways[1]} of tokens: both terms can be told apart."
    return "floor", (
        "Parameters and tokens vary by themselves, but on too few sizes for the law of both: a law of compute stands in for it, "
        "which is wrong where tokens by parameter differ."
    )


def line_at(rungs: Sequence[Rung], rung: Rung) -> float:
    """Return the loss at a rung by a straight line of log loss over log FLOPs through the others: a law without a floor."""
    flops_N1 = np.array([[one.flops] for one in rungs for _ in one.losses], dtype=np.float64)
    log_loss_N = np.log([loss for one in rungs for loss in one.losses])
    fitted = fit_power_laws(flops_N1, log_loss_N[None], has_floor=False)
    return float(fitted.at(np.array([[rung.flops]]))[0, 0])


def fit_loss_law(rungs: Sequence[Rung], *, seed: int = 1, resamples: int = RESAMPLES) -> LossLaw | None:
    """Return the law of these rungs, those without losses left out; None where none can be fitted."""
    known = tuple(rung for rung in rungs if rung.losses)
    chosen, why = which_law(known)
    if chosen is None:
        return None
    rung_N = np.repeat(np.arange(len(known)), [len(rung.losses) for rung in known])
    log_loss_N = np.log([loss for rung in known for loss in rung.losses])
    sizes_GK = _sizes(chosen, known)
    has_floor = chosen != "line"
    fitted = fit_power_laws(sizes_GK[rung_N], log_loss_N[None], has_floor=has_floor)
    law_G = np.log(fitted.at(sizes_GK)[0])
    random = np.random.default_rng(derive_seed(seed, "replicas"))
    noise = _noise(log_loss_N, rung_N, law_G, _PARAMETERS[chosen], resamples, random)
    replicas = None
    if noise is not None:
        drawn_NB = noise.drawn(random, (len(rung_N), resamples)) + noise.deviations(random, (len(known), resamples))[rung_N]
        replicas = fit_power_laws(sizes_GK[rung_N], (law_G[rung_N, None] + drawn_NB).T, has_floor=has_floor, near=fitted)
    within = len(rung_N) > len(known)
    spread = math.sqrt(_squares(log_loss_N, rung_N) / (len(rung_N) - len(known))) if within else None
    return LossLaw(chosen, why, known, fitted, replicas, noise, spread, seed)


def _sizes(kind: Kind, rungs: Sequence[Rung]) -> Floats:
    rows = [[rung.parameters, rung.tokens] if kind == "full" else [rung.flops] for rung in rungs]
    return np.array(rows, dtype=np.float64)


def _means(log_loss_N: Floats, rung_N: Places) -> tuple[Floats, Floats]:
    count_G = np.bincount(rung_N).astype(np.float64)
    return np.bincount(rung_N, log_loss_N) / count_G, count_G


def _squares(log_loss_N: Floats, rung_N: Places) -> float:
    """Return the sum of squares of seeds about the mean of their rung."""
    mean_G, _ = _means(log_loss_N, rung_N)
    return float(np.sum((log_loss_N - mean_G[rung_N]) ** 2))


def _noise(
    log_loss_N: Floats, rung_N: Places, law_G: Floats, parameters: int, resamples: int, random: np.random.Generator
) -> _Noise | None:
    """Return what replicas are drawn from; None where there are neither seeds nor rungs to spare.

    Where no rung has two seeds, what rungs scatter about the law stands for the seeds, taken to be normal.
    """
    mean_G, count_G = _means(log_loss_N, rung_N)
    within, between = len(rung_N) - len(count_G), max(0, len(count_G) - parameters)
    off_law = float(np.sum(count_G * (mean_G - law_G) ** 2))
    if not within and not between:
        return None
    freedom = within or between
    larger_B = np.minimum(np.sqrt(freedom / random.chisquare(freedom, resamples)), _MOST_NOISE)
    if not within:
        normal_J = math.sqrt(off_law / between) * random.standard_normal(_NORMAL)
        return _Noise(normal_J, larger_B, np.zeros(resamples), 0.0, None)
    count_N = count_G[rung_N]
    several_N = count_N > 1
    residuals_J = (log_loss_N - mean_G[rung_N])[several_N] * np.sqrt(count_N / np.maximum(count_N - 1, 1))[several_N]
    variance, share = _squares(log_loss_N, rung_N) / within, float(np.mean(1 / count_G))
    both_B = (off_law + variance) / random.chisquare(between + 1, resamples)
    scatter_B = np.sqrt(np.maximum(0.0, both_B - variance * larger_B**2) * share)
    most = _MOST_NOISE * math.sqrt((off_law + variance) * share)
    if not between:
        return _Noise(residuals_J, larger_B, np.minimum(scatter_B, most), 0.0, None)
    spread = math.sqrt(max(0.0, off_law / between - variance) * share)
    p = float(scipy_part("stats").f.sf(off_law / between / variance, between, within)) if variance else None
    return _Noise(residuals_J, larger_B, np.minimum(scatter_B, most), spread, p)
