"""A law of loss over a ladder of sizes: which one the runs can identify, its parameters, and its forecast of another rung.

The law is that of Hoffmann et al. 2022 (arXiv 2203.15556, approach 3), L = E + A/N^a + B/D^b. Where tokens D are tied to
parameters N, as on a model ladder (Bhagia et al. 2024, arXiv 2412.04403), the two terms cannot be told apart, and neither is
fitted: what the runs identify is L = E + A/C^a of the compute C. With two rungs even E is out of reach, and the line A/C^a of
Kaplan et al. 2020 (arXiv 2001.08361) is left.

Intervals are by bootstrap, as those of Besiroglu et al. 2024 (arXiv 2404.10102), but few seeds on few rungs are too few to draw
whole runs from. What is drawn are residuals of logs: each run of a replica is the fitted law at its rung, plus a residual of any
seed about the mean of its rung (made larger by √(n/(n-1)), because a mean of n lies nearer to its seeds than the truth does),
plus a normal deviation of the rung from the law where rungs scatter more than their seeds explain. The size of the residuals is
itself drawn, by √(f/χ²_f) with their f degrees of freedom, as in Student's t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pellucid.core.seeds import derive_seed
from pellucid.evals.statistics import Floats
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.power_law import HUBER_DELTA, MOST_EXPONENT, PowerLaws, fit_power_laws

__all__ = ["RESAMPLES", "Forecast", "Kind", "LossLaw", "Rung", "fit_loss_law", "is_tied", "line_at", "which_law"]

Kind = Literal["floor", "line", "full"]
"""floor: L = E + A/C^a; line: L = A/C^a; full: L = E + A/N^a + B/D^b."""

RESAMPLES = 1000
_FORMULAS = {"floor": "L = E + A / C^a", "line": "L = A / C^a", "full": "L = E + A / N^a + B / D^b"}
_PARAMETERS = {"floor": 3, "line": 2, "full": 5}
_TIED = 0.1  # spread of log D about its line over log N, against that along it
_RUNS_EACH = 8  # runs drawn from each replica's forecast
_MOST_NOISE = 50.0  # far beyond what 95 % need, and near enough for no number to overflow
_RESAMPLED = (
    "residuals of log loss about the law: seeds' about the mean of their rung, from all rungs together, their size drawn as in "
    "Student's t; and of rungs about the law, normal, where they scatter more than their seeds explain"
)


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
    """A fitted law, with what its replicas say of how sure it is; `replicas` is None where nothing tells that.

    `seed_spread` and `rung_spread` are standard deviations of log loss: of seeds about their rung, None where no rung has two, and
    of rungs about the law beyond what their seeds explain. `off_law_p` is the p of the F test that all such scatter is of seeds.
    """

    kind: Kind
    why: str
    rungs: tuple[Rung, ...]
    fitted: PowerLaws
    replicas: PowerLaws | None
    noise_B: Floats
    residuals_J: Floats
    seed_spread: float | None
    rung_spread: float
    off_law_p: float | None
    seed: int

    def sizes(self, rungs: Sequence[Rung]) -> Floats:
        """Return the sizes that the law is of, [M, K]."""
        return _sizes(self.kind, rungs)

    def forecast(self, rung: Rung) -> Forecast:
        """Return the loss at a rung, with intervals where there are replicas."""
        sizes_1K = self.sizes([rung])
        value = float(self.fitted.at(sizes_1K)[0, 0])
        if self.replicas is None:
            return Forecast(value)
        law_B = self.replicas.at(sizes_1K)[:, 0]
        # Equal sizes get equal draws, so that a band is smooth.
        random = np.random.default_rng(derive_seed(self.seed, "forecast"))
        noise_XB = self.noise_B * random.choice(self.residuals_J, (_RUNS_EACH, len(law_B)))
        noise_XB += self.rung_spread * random.standard_normal(noise_XB.shape)
        low, high = np.quantile(law_B * np.exp(noise_XB), [0.025, 0.975])
        law_low, law_high = np.quantile(law_B, [0.025, 0.975])
        return Forecast(value, float(low), float(high), float(law_low), float(law_high))

    def to_json(self) -> dict[str, Any]:
        """Return the law without its replicas.

        `kind`, `formula`, `why`; `rungs` it was fitted to, by name, and `runs`, how many; `parameters`: `name`, `value`, `low` and
        `high` (95 %, None without replicas), `at_bound` ("least", "greatest" or None) and `at_bound_share` of the replicas;
        `huber_delta`, `resamples`, `resampled`; `seed_spread_percent`, `rung_spread_percent`, `off_law_p`.
        """
        percent = None if self.seed_spread is None else 100 * self.seed_spread
        return {
            "kind": self.kind,
            "formula": _FORMULAS[self.kind],
            "why": self.why,
            "rungs": [rung.name for rung in self.rungs],
            "runs": sum(len(rung.losses) for rung in self.rungs),
            "parameters": self._parameters(),
            "huber_delta": HUBER_DELTA,
            "resamples": 0 if self.replicas is None else len(self.noise_B),
            "resampled": _RESAMPLED,
            "seed_spread_percent": percent,
            "rung_spread_percent": 100 * self.rung_spread,
            "off_law_p": self.off_law_p,
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
    residuals_J, freedom, scatter, off_law_p = _residuals(log_loss_N, rung_N, law_G, _PARAMETERS[chosen])
    replicas, noise_B = None, np.empty(0)
    if freedom:
        random = np.random.default_rng(derive_seed(seed, "replicas"))
        noise_B = np.minimum(np.sqrt(freedom / random.chisquare(freedom, resamples)), _MOST_NOISE)
        drawn_BN = law_G[rung_N] + noise_B[:, None] * random.choice(residuals_J, (resamples, len(rung_N)))
        drawn_BN += scatter * random.standard_normal((resamples, len(known)))[:, rung_N]
        replicas = fit_power_laws(sizes_GK[rung_N], drawn_BN, has_floor=has_floor, near=fitted)
    seeds = [len(rung.losses) for rung in known]
    spread = _within(log_loss_N, rung_N) if max(seeds) > 1 else None
    return LossLaw(chosen, why, known, fitted, replicas, noise_B, residuals_J, spread, scatter, off_law_p, seed)


def _sizes(kind: Kind, rungs: Sequence[Rung]) -> Floats:
    rows = [[rung.parameters, rung.tokens] if kind == "full" else [rung.flops] for rung in rungs]
    return np.array(rows, dtype=np.float64)


def _means(log_loss_N: Floats, rung_N: Any) -> tuple[Floats, Floats]:
    count_G = np.bincount(rung_N).astype(np.float64)
    return np.bincount(rung_N, log_loss_N) / count_G, count_G


def _within(log_loss_N: Floats, rung_N: Any) -> float:
    """Return the standard deviation of seeds about the mean of their rung."""
    mean_G, count_G = _means(log_loss_N, rung_N)
    return float(np.sqrt(np.sum((log_loss_N - mean_G[rung_N]) ** 2) / (count_G.sum() - len(count_G))))


def _residuals(log_loss_N: Floats, rung_N: Any, law_G: Floats, parameters: int) -> tuple[Floats, int, float, float | None]:
    """Return residuals to draw from, their degrees of freedom (0: nothing tells), the rungs' own scatter, and p of none.

    Where no rung has two seeds, what rungs scatter about the law stands for the seeds, taken to be normal.
    """
    mean_G, count_G = _means(log_loss_N, rung_N)
    within, between = int(count_G.sum()) - len(count_G), max(0, len(count_G) - parameters)
    off_law = float(np.sum(count_G * (mean_G - law_G) ** 2))
    if not within:
        size = math.sqrt(off_law / between) if between else 0.0
        return size * np.random.default_rng(0).standard_normal(400), between, 0.0, None
    several_N = count_G[rung_N] > 1
    count_J = count_G[rung_N][several_N]
    residuals_J = (log_loss_N - mean_G[rung_N])[several_N] * np.sqrt(count_J / (count_J - 1))
    variance = _within(log_loss_N, rung_N) ** 2
    if not between:
        return residuals_J, within, 0.0, None
    scatter = math.sqrt(max(0.0, off_law / between - variance) * float(np.mean(1 / count_G)))
    p = float(scipy_part("stats").f.sf(off_law / between / variance, between, within)) if variance else None
    return residuals_J, within, scatter, p
