"""Text after many prompts at once: one key-value cache for a batch of them, each with a seed of its own.

All rows of the cache have the same length, though prompts need not: a batch first reads as many tokens as its shortest prompt has,
then one at a time, a longer prompt its own next token while shorter ones already go on with what is drawn. So there is neither
padding nor a mask, and prompts of like length lose next to nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import check_prompt
from pellucid.generate.sampling import Sampling, choose_batch
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder

__all__ = ["Completer", "Completion", "HasEnded", "generate_batch"]

HasEnded = Callable[[Sequence[int]], bool]
"""New tokens of one row → whether they are enough: for stops that are not one token, such as a text."""


class Completion(NamedTuple):
    """New tokens after one prompt, and the stop id that ended them, which is not among them; None: there was no room for more."""

    ids: list[int]
    stopped_by: int | None


@dataclass(frozen=True)
class Completer:
    """A model that goes on after many prompts, `batch_seqs` at a time, or fewer where their tokens would be over `batch_tokens`."""

    model: Decoder
    batch_seqs: int = 64
    batch_tokens: int | None = None

    @property
    def context_tokens(self) -> int:
        """The longest sequence, prompt and new tokens together."""
        return self.model.config.context_tokens

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
        stop_ids: Iterable[int] = (),
        has_ended: HasEnded | None = None,
        on_done: Callable[[int], None] = lambda count: None,
    ) -> list[Completion]:
        """Return what comes after each prompt, in their order; `on_done` is told how many more are finished.

        Prompts of like length share a batch. Raises what `generate_batch` raises.
        """
        found: dict[int, Completion] = {}
        # A batch takes a step for each token that its longest prompt has over its shortest, one of its own for each new token.
        for batch in self._batches(prompts, spread=max_new_tokens):
            done = generate_batch(
                self.model,
                [prompts[index] for index in batch],
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                seeds=[seeds[index] for index in batch],
                stop_ids=stop_ids,
                has_ended=has_ended,
            )
            found.update(zip(batch, done, strict=True))
            on_done(len(batch))
        return [found[index] for index in range(len(prompts))]

    @torch.no_grad()
    def probability_of(self, id_: int, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Return how likely each prompt makes this id as its next token, at temperature 1."""
        found: dict[int, float] = {}
        for batch in self._batches(prompts, spread=0):
            for index in batch:
                check_prompt(self.model, prompts[index])
            logits_BV = _last_logits(self.model, torch.tensor([list(prompts[index]) for index in batch]), None)
            found.update(zip(batch, torch.softmax(logits_BV.float(), dim=1)[:, id_].tolist(), strict=True))
        return [found[index] for index in range(len(prompts))]

    def _batches(self, prompts: Sequence[Sequence[int]], spread: int) -> Iterator[list[int]]:
        """Yield the prompts' numbers, the longest first, cut into batches whose lengths differ by at most `spread` tokens."""
        batch: list[int] = []
        for index in sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index)):
            longest = len(prompts[batch[0]]) if batch else 0
            full = len(batch) == self.batch_seqs or (self.batch_tokens and (len(batch) + 1) * longest > self.batch_tokens)
            if batch and (full or longest - len(prompts[index]) > spread):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch


def generate_batch(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    seeds: Sequence[int],
    stop_ids: Iterable[int] = (),
    has_ended: HasEnded | None = None,
) -> list[Completion]:
    """Return new tokens after each prompt: to float rounding those of `generate` with the same prompt, sampling and seed.

    A row's draws come from its own seed, whatever else is in the batch. Rows that have ended leave the batch when half of it has.
    `has_ended` is asked after every token whether the row's new tokens are enough.
    Raises `UsageError` for a prompt that is empty, longer than the context or outside the vocabulary.
    """
    for prompt in prompts:
        check_prompt(model, prompt)
    if len(seeds) != len(prompts):
        raise UsageError(f"there are {len(prompts)} prompts and {len(seeds)} seeds; each prompt needs one")
    rows = _Rows(model, prompts, max_new_tokens, sampling, seeds, frozenset(stop_ids), has_ended)
    if max_new_tokens > 0 and prompts:
        with torch.no_grad():
            rows.run()
    return [Completion(ids, stop) for ids, stop in zip(rows.new, rows.stopped_by, strict=True)]


class _Rows:
    """The rows of one batch on their way. `live` are the numbers of those that the cache still holds, in its order."""

    def __init__(
        self,
        model: Decoder,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
        stop_ids: frozenset[int],
        has_ended: HasEnded | None,
    ) -> None:
        self._model, self._prompts, self._sampling, self._stop_ids = model, prompts, sampling, stop_ids
        self._has_ended = has_ended or (lambda new: False)
        context = model.config.context_tokens
        self._room = [min(max_new_tokens, context - len(prompt)) for prompt in prompts]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.new: list[list[int]] = [[] for _ in prompts]
        self.stopped_by: list[int | None] = [None] * len(prompts)

    def run(self) -> None:
        model, prompts = self._model, self._prompts
        live = list(range(len(prompts)))
        ended = {row for row in live if not self._room[row]}
        longest = max(len(prompt) + room for prompt, room in zip(prompts, self._room, strict=True))
        weight = model.head_weight
        cache = KVCache(model.config, len(live), longest, device=weight.device, dtype=weight.dtype)
        read = min(map(len, prompts))
        pending_BT = torch.tensor([list(prompt[:read]) for prompt in prompts])
        while len(ended) < len(prompts):
            logits_BV = _last_logits(model, pending_BT, cache)
            drawing = [at for at, row in enumerate(live) if row not in ended and len(prompts[row]) <= read]
            drawn = self._draw(logits_BV, live, drawing)
            ended.update(live[at] for at, id_ in drawn.items() if self._take(live[at], id_))
            # A row that has ended reads anything until it leaves; a longer prompt goes on with its own token.
            pending = [drawn[at] if at in drawn else prompts[row][min(read, len(prompts[row]) - 1)] for at, row in enumerate(live)]
            staying = [at for at, row in enumerate(live) if row not in ended]
            if len(staying) <= len(live) // 2:
                cache.keep(torch.tensor(staying, dtype=torch.long, device=weight.device))
                live, pending = [live[at] for at in staying], [pending[at] for at in staying]
            pending_BT = torch.tensor(pending)[:, None]
            read += 1

    def _draw(self, logits_BV: Tensor, live: list[int], drawing: list[int]) -> dict[int, int]:
        """Return the next token of the rows at these places of the batch."""
        if len(drawing) < len(live):
            logits_BV = logits_BV[torch.tensor(drawing, dtype=torch.long, device=logits_BV.device)]
        if not drawing:
            return {}
        chosen = choose_batch(logits_BV, self._sampling, [self._generators[live[at]] for at in drawing])
        return dict(zip(drawing, chosen, strict=True))

    def _take(self, row: int, id_: int) -> bool:
        """Note a row's new token; tell whether it was the row's last."""
        if id_ in self._stop_ids:
            self.stopped_by[row] = id_
            return True
        self.new[row].append(id_)
        return len(self.new[row]) == self._room[row] or self._has_ended(self.new[row])


def _last_logits(model: Decoder, ids_BT: Tensor, cache: KVCache | None) -> Tensor:
    """Return the logits after the last of these ids, (B, V)."""
    was_training = model.training
    model.eval()
    x_BTD = model(ids_BT.to(model.head_weight.device), cache=cache)
    model.train(was_training)
    return model.logits(x_BTD[:, -1])
