"""The choice of one next token from its logits: penalties and biases, temperature, and how much of the likeliest is drawn from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError

__all__ = ["NO_NUMBERS", "Sampling", "SeenTokens", "choose", "choose_batch", "distribution"]

NO_NUMBERS = "the model's logits are no numbers (NaN or infinite): its weights are damaged, or training diverged"

# Below the first temperature quotients may overflow; the second is as good as zero, and can be divided by.
_LOW, _LEAST = 1e-3, 1e-30
# A logit that a penalty has made larger says no more, and may become infinite.
_LARGEST = 1e30


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Raises `UsageError` for values outside their range.

    In this order: logits get their biases, then the penalties, then the temperature; then `top_k`, `top_p` and `min_p` cut.
    """

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most likely token, the lowest id among equals."""
    top_k: int | None = None
    """Only the k most likely tokens are drawn from; None keeps all."""
    top_p: float = 1.0
    """Only the most likely tokens that together reach this probability are drawn from (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Only tokens at least this many times as likely as the most likely one are drawn from (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """Logits of tokens in the prompt or the answer are divided by it where positive, else multiplied (Keskar et al. 2019, CTRL)."""
    presence_penalty: float = 0.0
    """Is taken from the logit of each token of the answer (as in OpenAI's interface, which leaves the prompt alone)."""
    frequency_penalty: float = 0.0
    """Is taken from a token's logit once for each time that it stands in the answer."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Ids with what is added to their logits; minus infinity forbids a token."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise UsageError(f"temperature is {self.temperature}; it must be 0 (most likely token) or more, and finite")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k is {self.top_k}; it must be at least 1, or not given to keep all tokens")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (1 keeps all tokens)")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"min_p is {self.min_p}; it must be from 0 (keeps all tokens) to 1 (keeps the most likely)")
        if not 0 < self.repetition_penalty < np.inf:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}; it must be above 0 and finite (1 changes nothing)")
        for name in ("presence_penalty", "frequency_penalty"):
            if not np.isfinite(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}; it must be a finite number (0 changes nothing)")
        for id_, bias in self.logit_bias:
            if id_ < 0 or not bias < np.inf:
                raise UsageError(f"logit_bias has {bias} for id {id_}; ids are 0 or more, biases finite or minus infinity")

    @property
    def needs_seen(self) -> bool:
        """Whether the choice depends on the tokens before it by more than the logits."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @cached_property
    def highest_bias_id(self) -> int:
        """The highest id that has a bias; -1 where none has."""
        return max((id_ for id_, _ in self.logit_bias), default=-1)

    def add_biases(self, logits_V: Tensor) -> None:
        """Add the biases to logits, in place. Raises `UsageError` for an id outside of them."""
        if self.highest_bias_id >= len(logits_V):
            raise UsageError(f"logit_bias has the id {self.highest_bias_id}; the model's vocabulary is 0 to {len(logits_V) - 1}")
        ids_N, values_N = self._biases
        if ids_N.device != logits_V.device:
            ids_N, values_N = self.__dict__["_biases"] = ids_N.to(logits_V.device), values_N.to(logits_V.device)
        logits_V.index_add_(0, ids_N, values_N)

    @cached_property
    def _biases(self) -> tuple[Tensor, Tensor]:
        # Made once and not for every token: a bias for each id of the vocabulary is allowed.
        ids, values = zip(*self.logit_bias, strict=True)
        return torch.tensor(ids), torch.tensor(values, dtype=torch.float32)


class SeenTokens:
    """The tokens of one sequence that penalties look at: those of the prompt, and how often each stands in the answer so far."""

    def __init__(self, prompt: Iterable[int], answer: Iterable[int] = ()) -> None:
        self.answer = Counter(answer)
        self.all = {*prompt, *self.answer}

    def copy(self) -> "SeenTokens":
        """Return the same tokens to go on from by itself."""
        return SeenTokens(self.all, self.answer.elements())

    def add(self, id_: int) -> None:
        """Count one more token of the answer."""
        self.answer[id_] += 1
        self.all.add(id_)


def choose(logits_V: Tensor, sampling: Sampling, generator: torch.Generator | None = None, seen: SeenTokens | None = None) -> int:
    """Return one token id, as `choose_batch` does for a single row."""
    return choose_batch(logits_V[None], sampling, [generator], None if seen is None else [seen])[0]


def choose_batch(
    logits_BV: Tensor,
    sampling: Sampling | Sequence[Sampling],
    generators: Sequence[torch.Generator | None],
    seen: Sequence[SeenTokens] | None = None,
) -> list[int]:
    """Return one token id for each row, drawn with the row's own generator, and sampling if there are several.

    A row depends on no other row. Among equally likely tokens the lowest id comes first. A row takes one number from its generator,
    on the CPU, so that a seed means the same on every device; probabilities are float32. Temperature 0 draws nothing. `seen` are
    the tokens before each row's next, which penalties ask for. Raises `ArtifactError` for logits that are no numbers.
    """
    rows = len(logits_BV)
    samplings = [sampling] * rows if isinstance(sampling, Sampling) else list(sampling)
    logits_BV = _adjusted(logits_BV.float(), samplings, seen)
    highest_B, likeliest_B = (part.tolist() for part in logits_BV.max(dim=1))
    if not np.isfinite(highest_B).all():
        raise ArtifactError(NO_NUMBERS)
    drawing = [row for row in range(rows) if samplings[row].temperature > 0]
    chosen = [int(id_) for id_ in likeliest_B]
    if not drawing:
        return chosen
    p_NV = _softmax(logits_BV if len(drawing) == rows else logits_BV[drawing], [samplings[row].temperature for row in drawing])
    for row, p_V in zip(drawing, p_NV, strict=True):
        point = torch.rand(1, dtype=torch.float64, generator=generators[row]).item()
        chosen[row] = _at(point, p_V, samplings[row])
    return chosen


def distribution(logits_V: Tensor, sampling: Sampling, seen: SeenTokens | None = None) -> NDArray[np.float64]:
    """Return the probabilities with which `choose` chooses, float64 [V]. Raises `ArtifactError` for logits that are no numbers."""
    if sampling.temperature == 0:
        certain_V = np.zeros(len(logits_V))
        certain_V[choose(logits_V, sampling, seen=seen)] = 1.0
        return certain_V
    logits_1V = _adjusted(logits_V[None].float(), [sampling], None if seen is None else [seen])
    p_V = _softmax(logits_1V, [sampling.temperature])[0]
    p_N = _kept(p_V, sampling)
    equals = np.flatnonzero(p_V == p_N[-1])
    kept_V: NDArray[np.float64] = np.where(p_V > p_N[-1], p_V, 0.0).astype(np.float64)
    # Of tokens as likely as the last one that is kept, the lowest ids are kept.
    kept_V[equals[: len(p_N) - np.count_nonzero(kept_V)]] = p_N[-1]
    kept_V /= kept_V.sum()
    return kept_V


def _adjusted(logits_BV: Tensor, samplings: Sequence[Sampling], seen: Sequence[SeenTokens] | None) -> Tensor:
    """Return logits with biases and penalties; the same tensor when there are none, else another."""
    if not any(sampling.logit_bias or sampling.needs_seen for sampling in samplings):
        return logits_BV
    logits_BV = logits_BV.clone()
    for row, sampling in enumerate(samplings):
        logits_V = logits_BV[row]
        if sampling.logit_bias:
            sampling.add_biases(logits_V)
        if sampling.needs_seen:
            if seen is None:
                raise UsageError("penalties look at the tokens before the next one; give them as `seen`")
            _penalise(logits_V, sampling, seen[row])
    return logits_BV


def _penalise(logits_V: Tensor, sampling: Sampling, seen: SeenTokens) -> None:
    if sampling.repetition_penalty != 1 and seen.all:
        ids_N = torch.tensor(sorted(seen.all), device=logits_V.device)
        found_N = logits_V[ids_N]
        penalty = sampling.repetition_penalty
        logits_V[ids_N] = torch.where(found_N > 0, found_N / penalty, found_N * penalty).clamp(-_LARGEST, _LARGEST)
    if seen.answer and (sampling.presence_penalty or sampling.frequency_penalty):
        ids_N = torch.tensor(list(seen.answer), device=logits_V.device)
        times_N = torch.tensor(list(seen.answer.values()), dtype=torch.float32, device=logits_V.device)
        logits_V[ids_N] -= sampling.presence_penalty + sampling.frequency_penalty * times_N


def _softmax(logits_BV: Tensor, temperatures: Sequence[float]) -> NDArray[np.float32]:
    if min(temperatures) < _LOW:
        # What is divided by next to nothing overflows; of differences to the likeliest token none is above 0, and that one stays.
        logits_BV = logits_BV - logits_BV.amax(dim=1, keepdim=True)
        temperatures = [max(one, _LEAST) for one in temperatures]
    if len(set(temperatures)) == 1:
        scaled_BV = logits_BV / temperatures[0]
    else:
        scaled_BV = logits_BV / torch.tensor(temperatures, device=logits_BV.device)[:, None]
    p_BV: NDArray[np.float32] = torch.softmax(scaled_BV, dim=1).cpu().numpy()
    return p_BV


def _at(point: float, p_V: NDArray[np.float32], sampling: Sampling) -> int:
    """Return the id found at a point, 0 to 1, of the kept tokens' probability, the most likely first."""
    p_N = _kept(p_V, sampling)
    reached_N = np.cumsum(p_N, dtype=np.float64)
    place = min(int(np.searchsorted(reached_N, point * reached_N[-1], side="right")), len(reached_N) - 1)
    equals = np.flatnonzero(p_V == p_N[place])
    return int(equals[place - np.count_nonzero(p_N > p_N[place])])


def _kept(p_V: NDArray[np.float32], sampling: Sampling) -> NDArray[np.float32]:
    """Return the probabilities of the tokens that are drawn from, the most likely first.

    Only probabilities are put in order, not ids, and none that cannot be kept: sorting is most of the work.
    """
    top_k = min(sampling.top_k or len(p_V), len(p_V))
    # Tokens less likely than this do not make up 1 - top_p all together; half of it leaves room for rounding.
    least = (1 - sampling.top_p) / (2 * len(p_V))
    p_N = np.partition(p_V, len(p_V) - top_k)[-top_k:] if top_k < len(p_V) else p_V[p_V > least]
    p_N = np.sort(p_N)[::-1]
    if sampling.top_p < 1:
        # A token stays when the more likely ones before it do not reach top_p yet; the first always does.
        reached_N = np.cumsum(p_N, dtype=np.float64)
        whole = reached_N[-1] if top_k < len(p_V) else 1.0
        p_N = p_N[: np.searchsorted(reached_N, sampling.top_p * whole) + 1]
    if not len(p_N) or not np.isfinite(p_N[0]):
        raise ArtifactError(NO_NUMBERS)
    return p_N[p_N >= np.float32(sampling.min_p) * p_N[0]] if sampling.min_p else p_N
