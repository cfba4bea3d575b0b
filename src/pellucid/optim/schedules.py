"""Learning rates as pure functions of the update's number (Stable LM 2 report, Eq. 1 and Appendix B). No torch.

Updates are counted from 1: the rate of update n is the curve at n, so warm-up reaches the peak with update `warmup_steps` and the
cool-down reaches zero with the last update. The report's i counts from the end of warm-up: every curve then starts at exactly the
peak the warm-up climbed to, and cosine ends at exactly `min_lr`. Counting from the first update instead would drop 0.3 % at the end
of the report's warm-up, because the cosine has already left its top.
"""

import math

from pellucid.recipe.training import ScheduleConfig

__all__ = ["learning_rate", "mean_learning_rate"]


def learning_rate(config: ScheduleConfig, step: float, total_steps: int) -> float:
    """Return the learning rate of update `step` (from 1) out of `total_steps`.

    Warm-up is linear from 0 to `peak_lr`; the curve follows; over the last `cooldown_steps` the rate falls linearly from the value
    that the curve has there to 0. `step` may be any real number in [0, total_steps], which plots and integrals use.
    """
    cooldown_start = total_steps - config.cooldown_steps
    if config.cooldown_steps and step > cooldown_start:
        return _warmed_curve(config, cooldown_start, total_steps) * max(0.0, total_steps - step) / config.cooldown_steps
    return _warmed_curve(config, step, total_steps)


def mean_learning_rate(config: ScheduleConfig, total_steps: int) -> float:
    """Return the average rate over a run of `total_steps` (midpoint rule), as Appendix B compares schedules."""
    return sum(learning_rate(config, step + 0.5, total_steps) for step in range(total_steps)) / total_steps


def _warmed_curve(config: ScheduleConfig, step: float, total_steps: int) -> float:
    if step < config.warmup_steps:
        return config.peak_lr * step / config.warmup_steps
    period = config.period_steps or max(1, total_steps - config.warmup_steps)
    return _curve(config, step - config.warmup_steps, period)


def _curve(config: ScheduleConfig, i: float, period: float) -> float:
    """The curve after `i` updates of `period` since the end of warm-up."""
    peak, low = config.peak_lr, config.min_lr
    if config.kind == "constant":
        return peak
    if config.kind == "linear":
        return low + (peak - low) * (1 - min(i / period, 1.0))
    if config.kind == "cosine":
        return low + (peak - low) / 2 * (math.cos(math.pi * min(i / period, 1.0)) + 1)
    if config.kind == "rsqrt":
        # Eq. 2's k is the number of warm-up steps, so its i can only count from the first update.
        flat = max(config.rsqrt_flat_steps, config.warmup_steps)
        return peak * math.sqrt(flat / max(i + config.warmup_steps, flat))
    return _hybrid(peak, low, i, 2 * period if config.kind == "hyb2" else period)


def _hybrid(peak: float, low: float, i: float, period: float) -> float:
    """Eq. 1: half a cosine's fall until a quarter of its period, then alpha / sqrt(i + beta), joined in value and in slope."""
    turn = period / 4
    if i <= turn or peak == low:
        return low + (peak - low) / 2 * (math.cos(2 * math.pi * i / period) + 1)
    turn_plus_beta = (peak + low) * period / (4 * math.pi * (peak - low))
    alpha = (peak + low) / 2 * math.sqrt(turn_plus_beta)
    return alpha / math.sqrt(i - turn + turn_plus_beta)
