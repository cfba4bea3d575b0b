"""The average learning rates that the Stable LM 2 report prints (Appendix B), by integration: which settings give them.

It prints 1.5e-4, 1.13e-4 and 1.67e-4 for cosine, hyb and hyb2, integrated over the whole training; that the rate falls to 0, and
that rsqrt cools down over the last 10 % of the steps. It prints no peak, no minimum and no warm-up of these runs.
"""

import math
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from pellucid.evals.statistics import Floats
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import ScheduleConfig

__all__ = ["PRINTED", "SETTINGS", "Counted", "Kind", "Setting", "integrated_mean", "printed_means", "relative_mean"]

Kind = Literal["cosine", "hyb", "hyb2"]
Counted = Literal["rest", "whole", "first update"]
"""What the curves' i and N count: i updates after warm-up and N those to the end (as in recipes); the same i and N all updates; or
i from the first update and N all updates (Eq. 1 to the letter, with a jump where warm-up ends)."""

PRINTED: dict[Kind, tuple[float, float]] = {"cosine": (1.5e-4, 5e-6), "hyb": (1.13e-4, 5e-7), "hyb2": (1.67e-4, 5e-7)}
"""Printed averages with half a unit of their last digit."""

_STEPS = 2_000  # of integration by the midpoint rule; shares of whole percents are whole steps


@dataclass(frozen=True)
class Setting:
    """What the report does not print. Shares are of the run's steps, minima of the peak; only the hybrids are cooled down."""

    peak_lr: float
    min_frac: float = 0.0
    warmup_frac: float = 0.0
    cooldown_frac: float = 0.1
    cosine_min_frac: float = 0.0
    counted: Counted = "rest"
    is_warmup_counted: bool = True
    """Whether the average is over the whole run, not only over what follows warm-up."""


SETTINGS: dict[str, Setting] = {
    "as the text says, no warm-up": Setting(3e-4),
    "as the text says, 2 % of warm-up": Setting(3e-4, warmup_frac=0.02),
    "a tenth of the peak as the hybrids' minimum": Setting(3e-4, min_frac=0.1, warmup_frac=0.02),
    "as the text says, another peak": Setting(2.98e-4, warmup_frac=0.03),
    "3 % of warm-up, cool-down over 12 %": Setting(3e-4, warmup_frac=0.03, cooldown_frac=0.12),
    "a minimum of 0.04 of the peak, cool-down over 24 %": Setting(3e-4, min_frac=0.04, cooldown_frac=0.24),
}
"""Settings that the page shows: the text's own, and what comes closer."""


def relative_mean(kind: Kind, shape: Setting, *, min_frac: ArrayLike, warmup_frac: ArrayLike, cooldown_frac: ArrayLike) -> Floats:
    """Return the average rate over the peak in closed form, for shares of any shapes that broadcast; `shape` gives the rest.

    In units of run and peak, with r = m/M, warm-up w and cool-down c, o = w where i counts from the end of warm-up (else 0) and
    N = 1 - w or 1, twice that for hyb2, the average over the whole run is

        w/2 + F(1 - c - o) - F(w - o) + f(1 - c - o)·c/2

    where f is the curve and F its integral from 0. For cosine, whose c is 0,

        F(i) = (1 + r)/2·i + (1 - r)/2·N/π·sin(π·i/N).

    For the hybrids, with the turn t = N/4 and u = (1 + r)·N/(4π·(1 - r)),

        F(i) = (1 + r)/2·min(i, t) + (1 - r)/2·N/(2π)·sin(2π·min(i, t)/N) + (1 + r)·√u·(√(max(i - t, 0) + u) - √u)

    since α/√(i + β) is (1 + r)/2·√u/√(i - t + u) after the turn (Eq. 1, continuous in value and slope). The average after warm-up
    is what remains without w/2, over 1 - w.
    """
    r, w, c = (np.asarray(one, dtype=np.float64) for one in (min_frac, warmup_frac, cooldown_frac))
    start = np.zeros_like(w) if shape.counted == "first update" else w
    period = 1 - w if shape.counted == "rest" else np.ones_like(w)
    if kind == "cosine":
        r, end = np.asarray(shape.cosine_min_frac), 1 - start
        after = _half_wave(r, end, period) - _half_wave(r, w - start, period)
    else:
        period, end = (2 if kind == "hyb2" else 1) * period, 1 - c - start
        after = _hybrid_area(r, end, period) - _hybrid_area(r, w - start, period) + _hybrid(r, end, period) * c / 2
    return np.asarray(w / 2 + after if shape.is_warmup_counted else after / (1 - w), dtype=np.float64)


def _half_wave(r: Floats, i: Floats, period: Floats) -> Floats:
    return np.asarray((1 + r) / 2 * i + (1 - r) / 2 * period / math.pi * np.sin(math.pi * i / period), dtype=np.float64)


def _hybrid_area(r: Floats, i: Floats, period: Floats) -> Floats:
    turn, u = period / 4, (1 + r) * period / (4 * math.pi * (1 - r))
    after = (1 + r) * np.sqrt(u) * (np.sqrt(np.maximum(i - turn, 0) + u) - np.sqrt(u))
    return np.asarray(_half_wave(r, np.minimum(i, turn), period / 2) + after, dtype=np.float64)


def _hybrid(r: Floats, i: Floats, period: Floats) -> Floats:
    turn, u = period / 4, (1 + r) * period / (4 * math.pi * (1 - r))
    wave = r + (1 - r) / 2 * (np.cos(2 * math.pi * i / period) + 1)
    return np.asarray(np.where(i <= turn, wave, (1 + r) / 2 * np.sqrt(u / (np.maximum(i - turn, 0) + u))), dtype=np.float64)


def integrated_mean(kind: Kind, setting: Setting, steps: int = _STEPS) -> float | None:
    """Return the average of `learning_rate` by the midpoint rule; None where i counts from the first update: no recipe does."""
    if setting.counted == "first update":
        return None
    warmup = round(setting.warmup_frac * steps)
    is_hybrid = kind != "cosine"
    config = ScheduleConfig(
        kind=kind,
        peak_lr=setting.peak_lr,
        min_lr=setting.peak_lr * (setting.min_frac if is_hybrid else setting.cosine_min_frac),
        warmup_steps=warmup,
        cooldown_steps=round(setting.cooldown_frac * steps) if is_hybrid else 0,
        period_steps=steps if setting.counted == "whole" else None,
    )
    first = 0 if setting.is_warmup_counted else warmup
    return sum(learning_rate(config, step + 0.5, steps) for step in range(first, steps)) / (steps - first)


def printed_means() -> dict[str, Any]:
    """Return how far the printed averages are reproduced.

    `printed` has `value` and `half_digit` by schedule; `settings` one row for each of `SETTINGS`: `name`, the setting's fields,
    `means` by schedule (`closed`, `integrated`, `off` from the printed value in relative terms, `rounds` to it), and whether all
    `fit`. `search` is over a grid: `looked_at` and `fitting` settings without their peak, where `fitting` means that there is one
    peak with which all three round to what is printed; `by_peak`, how many fit at each peak of two digits; `as_text`, those with
    minimum 0 and a cool-down of 10 % (`fitting`, least and greatest fitting peak); and `nearest`, those that fit at 3e-4 with
    minimum 0, by how near their cool-down is to 10 %.
    """
    rows = [{"name": name, **asdict(setting), **_against_print(setting)} for name, setting in SETTINGS.items()]
    printed = {kind: {"value": value, "half_digit": half} for kind, (value, half) in PRINTED.items()}
    return {"printed": printed, "settings": rows, "search": _search()}


def _against_print(setting: Setting) -> dict[str, Any]:
    means = {}
    shares = {"min_frac": setting.min_frac, "warmup_frac": setting.warmup_frac, "cooldown_frac": setting.cooldown_frac}
    for kind, (value, half) in PRINTED.items():
        closed = setting.peak_lr * float(relative_mean(kind, setting, **shares))
        means[kind] = {
            "closed": closed,
            "integrated": integrated_mean(kind, setting),
            "off": closed / value - 1,
            "rounds": -half <= closed - value < half,
        }
    return {"means": means, "fit": all(one["rounds"] for one in means.values())}


_MIN_FRACS, _WARMUP_FRACS, _COOLDOWN_FRACS = (tuple(percent / 100 for percent in range(most + 1)) for most in (10, 10, 30))
_PEAKS = tuple(digits / 1e5 for digits in range(20, 36))
_TEXT_PEAK, _TEXT_COOLDOWN_FRAC = 3e-4, 0.1
_MOST_SHOWN = 8


def _search() -> dict[str, Any]:
    """Look through minima, warm-ups and cool-downs, each way of counting, both averages, and cosine to 0 or to the same minimum."""
    looked_at, found = 0, []
    for counted, is_counted, cosine_too in product(("rest", "whole", "first update"), (True, False), (False, True)):
        shape: dict[str, Any] = {"counted": counted, "is_warmup_counted": is_counted}
        # Without warm-up all ways of counting are one.
        warmups = _WARMUP_FRACS if counted == "rest" and is_counted else _WARMUP_FRACS[1:]
        for r in _MIN_FRACS[1:] if cosine_too else _MIN_FRACS:
            setting = Setting(1.0, r, cosine_min_frac=r if cosine_too else 0.0, **shape)
            low_WC, high_WC = _fitting_peaks(setting, warmups)
            looked_at += low_WC.size
            for at_w, at_c in np.argwhere(low_WC < high_WC):
                own = {"min_frac": r, "warmup_frac": warmups[at_w], "cooldown_frac": _COOLDOWN_FRACS[at_c], **shape}
                ends = {"peak_low": float(low_WC[at_w, at_c]), "peak_high": float(high_WC[at_w, at_c])}
                found.append({**own, "cosine_min_frac": setting.cosine_min_frac, **ends})
    as_text = [one for one in found if one["min_frac"] == 0 and one["cooldown_frac"] == _TEXT_COOLDOWN_FRAC]
    near = [one for one in found if one["min_frac"] == 0 and _holds(one, _TEXT_PEAK)]
    near.sort(key=lambda one: (abs(one["cooldown_frac"] - _TEXT_COOLDOWN_FRAC), one["warmup_frac"]))
    return {
        "looked_at": looked_at,
        "fitting": len(found),
        "by_peak": [{"peak_lr": peak, "fitting": count} for peak in _PEAKS if (count := sum(_holds(one, peak) for one in found))],
        "as_text": {
            "fitting": len(as_text),
            "peak_low": min((one["peak_low"] for one in as_text), default=None),
            "peak_high": max((one["peak_high"] for one in as_text), default=None),
        },
        "nearest": near[:_MOST_SHOWN],
    }


def _holds(one: dict[str, Any], peak: float) -> bool:
    """Tell whether a peak lies in what fits. The upper end, which would be rounded up, does not."""
    return bool(one["peak_low"] * (1 - 1e-9) <= peak < one["peak_high"] * (1 - 1e-9))


def _fitting_peaks(setting: Setting, warmups: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return by warm-up and cool-down [W, C] from and up to which peak all three round to print; from > up to where none does."""
    low_WC, high_WC = np.zeros((2, len(warmups), len(_COOLDOWN_FRACS)))
    high_WC += np.inf
    for kind, (value, half) in PRINTED.items():
        mean_WC = relative_mean(
            kind,
            setting,
            min_frac=setting.min_frac,
            warmup_frac=np.array(warmups)[:, None],
            cooldown_frac=np.array(_COOLDOWN_FRACS),
        )
        low_WC, high_WC = np.maximum(low_WC, (value - half) / mean_WC), np.minimum(high_WC, (value + half) / mean_WC)
    return low_WC, high_WC
