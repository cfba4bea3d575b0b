"""Rows of sequences through the decoder: batches, the stem's keys and values, the head only where something is scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.evals.likelihood.requests import Request
from pellucid.evals.likelihood.rows import Row, lay_out
from pellucid.evals.subject import OnDone, nothing_done
from pellucid.generate.sampling import NO_NUMBERS
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder

__all__ = ["Budget", "Scored", "score_requests"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Logits are made for this many positions at a time.
_LOGIT_ROWS = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is computed at once: tokens of a batch, padding included, and of a row that joins several sequences.

    A batch's rows, with the stem that each of them has a copy of, hold at most twice `batch_tokens` keys and values.
    """

    batch_tokens: int = 2048
    row_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Scored:
    """A request's score: minus the log-probability of its targets, in nats, and whether each of them is the likeliest token."""

    nats: float
    greedy: bool


def score_requests(
    model: Decoder, requests: Sequence[Request], budget: Budget | None = None, on_done: OnDone = nothing_done
) -> list[Scored]:
    """Return the scores of the requests, in their order. The model is in evaluation mode, on any device.

    Requests that read the same tokens share a pass, and those with a common beginning share that. Raises `ArtifactError` for
    logits that are no numbers.
    """
    budget, scoring = budget or Budget(), _Scoring(model, requests, on_done)
    stems = lay_out(scoring.sequences, scoring.scored_from, budget.row_tokens, model.config.hidden)
    with torch.no_grad():
        for stem in stems:
            if stem.ids:
                cache = _read(model, stem.ids)
                for rows in _batches(stem.rows, budget.batch_tokens, len(stem.ids)):
                    scoring.score(rows, cache)
        for rows in _batches([row for stem in stems if not stem.ids for row in stem.rows], budget.batch_tokens, 0):
            scoring.score(rows, None)
    return scoring.results()


def _read(model: Decoder, ids: Sequence[int]) -> KVCache:
    """Return the keys and values of a stem."""
    weight = model.head_weight
    kind = torch.get_autocast_dtype(weight.device.type) if torch.is_autocast_enabled(weight.device.type) else weight.dtype
    cache = KVCache(model.config, 1, len(ids), device=weight.device, dtype=kind)
    model(torch.tensor([ids], device=weight.device), cache=cache)
    return cache


def _batches(rows: Sequence[Row], batch_tokens: int, depth: int) -> Iterator[list[Row]]:
    """Yield the rows, the longest first, in batches that, padded to their longest, hold at most `batch_tokens` tokens.

    A batch of a quarter of that is enough: it takes no row that would be filled up by more than a tenth.
    """
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: -row.tokens):
        longest = batch[0].tokens if batch else 0
        padded = len(batch) * longest >= batch_tokens // 4 and row.tokens < 0.9 * longest
        full = (len(batch) + 1) * max(longest, (depth + longest) // 2) > batch_tokens
        if batch and (padded or full):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


class _Scoring:
    """Requests on their way to scores. `sequences` are the distinct ones that they read, each scored from some token on."""

    def __init__(self, model: Decoder, requests: Sequence[Request], on_done: OnDone) -> None:
        self._model, self._requests, self._on_done = model, requests, on_done
        self._found: dict[int, Scored] = {}
        asking: dict[tuple[int, ...], list[int]] = {}
        for at, request in enumerate(requests):
            asking.setdefault(request.inputs, []).append(at)
        self.sequences, self._asking = list(asking), list(asking.values())
        self.scored_from = [min(self._first(at) for at in asked) for asked in self._asking]

    def _first(self, at: int) -> int:
        """Return after which of its inputs a request's first target follows."""
        return len(self._requests[at].inputs) - len(self._requests[at].targets)

    def results(self) -> list[Scored]:
        """Return the scores in the order of the requests."""
        return [self._found[at] for at in range(len(self._requests))]

    def score(self, rows: Sequence[Row], stem: KVCache | None) -> None:
        """Score all requests of some rows that hang from one stem."""
        x_BTD = self._hidden_states(rows, stem)
        depth = stem.length if stem is not None else 0
        asked: list[int] = []
        places: list[int] = []
        targets: list[int] = []
        for index, row in enumerate(rows):
            for member, path in zip(row.members, row.paths, strict=True):
                for at in self._asking[member]:
                    nodes = path[self._first(at) - depth :]
                    asked += [at] * len(nodes)
                    places += (index * x_BTD.shape[1] + nodes).tolist()
                    targets += self._requests[at].targets
        nats_N, greedy_N = self._choose(x_BTD.flatten(0, 1), places, targets)
        self._collect(asked, nats_N, greedy_N)

    def _hidden_states(self, rows: Sequence[Row], stem: KVCache | None) -> Tensor:
        """Return x_BTD of rows behind a stem, padded to the longest."""
        model, tokens = self._model, rows[0].tokens
        depth = stem.length if stem is not None else 0
        device = model.head_weight.device
        ids_BT = np.zeros((len(rows), tokens), dtype=np.int64)
        positions_BT = np.full_like(ids_BT, depth)
        for index, row in enumerate(rows):
            ids_BT[index, : row.tokens], positions_BT[index, : row.tokens] = row.ids_T, row.positions_T
        ids = torch.from_numpy(ids_BT).to(device)
        if stem is None and all(len(row.paths) == 1 for row in rows):
            return cast(Tensor, model(ids))  # plain causal sequences: what fills them up comes after them
        sees_BTS = np.zeros((len(rows), tokens, depth + tokens), dtype=np.bool_)
        sees_BTS[:, :, :depth] = True
        for index, row in enumerate(rows):
            sees_BTS[index, : row.tokens, depth : depth + row.tokens] = row.mask()
            sees_BTS[index, row.tokens :, 0] = True  # a query that sees nothing gives no numbers
        mask_B1TS = torch.from_numpy(sees_BTS).to(device)[:, None]
        if not torch.is_autocast_enabled(device.type):
            # Once here, instead of once in every layer.
            mask_B1TS = torch.zeros(mask_B1TS.shape, device=device, dtype=model.head_weight.dtype).masked_fill_(
                ~mask_B1TS, -torch.inf
            )
        cache = stem.branch(len(rows), tokens) if stem is not None else None
        return cast(Tensor, model(ids, torch.from_numpy(positions_BT).to(device), cache=cache, mask_B1TS=mask_B1TS))

    def _choose(self, x_MD: Tensor, places: Sequence[int], targets: Sequence[int]) -> tuple[Floats, Bools]:
        """Return the nats of a target after each place, and whether it is the likeliest there; logits of a place are made once."""
        place_P, inverse_N = np.unique(np.array(places), return_inverse=True)
        order_N = np.argsort(inverse_N, kind="stable")
        nats_N, greedy_N, target_N = np.empty(len(places)), np.empty(len(places), dtype=np.bool_), np.array(targets)
        device, begin = x_MD.device, 0
        for first in range(0, len(place_P), _LOGIT_ROWS):
            end = int(np.searchsorted(inverse_N[order_N], first + _LOGIT_ROWS))
            mine, begin = order_N[begin:end], end
            logits_RV = self._model.logits(x_MD[torch.from_numpy(place_P[first : first + _LOGIT_ROWS]).to(device)]).float()
            row_M, target_M = (torch.from_numpy(of).to(device) for of in (inverse_N[mine] - first, target_N[mine]))
            nats_N[mine] = (logits_RV.logsumexp(dim=1)[row_M] - logits_RV[row_M, target_M]).double().cpu().numpy()
            greedy_N[mine] = (logits_RV.argmax(dim=1)[row_M] == target_M).cpu().numpy()
        return nats_N, greedy_N

    def _collect(self, asked: Sequence[int], nats_N: Floats, greedy_N: Bools) -> None:
        numbers, first_N, counts = np.unique(np.array(asked), return_index=True, return_counts=True)
        for at, first, count in zip(numbers.tolist(), first_N.tolist(), counts.tolist(), strict=True):
            nats = float(nats_N[first : first + count].sum())
            if not np.isfinite(nats):
                raise ArtifactError(f"{NO_NUMBERS}; what was scored before is kept")
            self._found[at] = Scored(nats, bool(greedy_N[first : first + count].all()))
        self._on_done(len(numbers))
