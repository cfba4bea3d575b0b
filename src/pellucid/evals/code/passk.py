"""pass@k: how likely one of k programs passes, estimated without bias from n programs.

Chen et al. 2021, arXiv 2107.03374, equation 1.
"""

import math
from collections.abc import Sequence

__all__ = ["mean_and_stderr", "pass_at_k"]


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return 1 - C(n - c, k) / C(n, k): the chance that k of n programs, c of which pass, drawn without replacement, hold one.

    Exact to float rounding: the two counts are integers. Raises `ValueError` unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {samples} programs, {passed} of which pass: k is 1 to the number of programs")
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)


def mean_and_stderr(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean over problems and its standard error, sd/√n with n - 1 in sd; None where there are too few of them."""
    count = len(values)
    if not count:
        return None, None
    mean = math.fsum(values) / count
    if count < 2:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(variance / count)
