"""Where the time of a step goes, and how much of the machine's peak it uses."""

import time

from pellucid.plan import flops
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.tuning import AdapterConfig

__all__ = ["FORMULA", "Stopwatch", "flops_per_token"]

FORMULA = {
    "mfu": "tokens_per_s * (6*M + 6*layers*hidden*seq_tokens) / peak_flops; M = parameters that are multiplied with (an untied "
    "embedding is looked up), attention below the diagonal only: the work that cannot be avoided, so never above 1",
    "mfu_with_attention": "tokens_per_s * (6*N + 12*layers*hidden*seq_tokens) / peak_flops; N = all parameters, a tied head once; "
    "attention counted in full, as if not causal (PaLM, arXiv 2204.02311, appendix B): what reports print; may "
    "exceed 1 where the embedding is much of the model",
    "mfu_6n": "tokens_per_s * 6*N / peak_flops; the same holds",
    "peak_flops": "of all ranks, the fastest that was seen until then: a data sheet's figure, or matrix products measured at the "
    "start and every minute, or a step's own",
    "tokens_per_s": "tokens of the step / (data + forward_backward + optimizer); saving, sampling and logging are in other",
    "loss": "nats per target token of this step, before the update, without z-loss",
}

_PHASES = ("data", "forward_backward", "optimizer", "other")


class Stopwatch:
    """Splits wall time into the phases of a step. What happens between `collect` and the next `lap` goes to that lap's phase.

    On a GPU the optimizer's kernels run while the next step is being launched, so part of them shows up there; `data` is the
    reading of the next step, which goes on beside the computing of this one.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(_PHASES, 0.0)
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Book the time since the last lap on `phase`."""
        now = time.perf_counter()
        self._seconds[phase] += now - self._last
        self._last = now

    def collect(self) -> dict[str, float]:
        """Return the seconds by phase since the last call, and begin anew."""
        seconds, self._seconds = self._seconds, dict.fromkeys(_PHASES, 0.0)
        return seconds


def flops_per_token(config: ModelConfig, seq_tokens: int, adapter: AdapterConfig | None = None) -> dict[str, float]:
    """Return the FLOPs of training one token, forward and backward, as the plan counts them, by the figure that they make."""
    counted = flops.flops_per_token(config, seq_tokens, adapter)
    names = {"mfu": "matmul", "mfu_with_attention": "with_attention", "mfu_6n": "six_n"}
    return {figure: float(counted[name]) for figure, name in names.items()}
