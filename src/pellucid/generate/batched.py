"""Text after many prompts at once: the slots of one cache for all of them, each with a seed of its own.

Prompts are read whole, whatever their lengths, with neither padding nor a mask over it, and a prompt takes the place of a text
that has ended at once (`slots`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import check_prompt
from pellucid.generate.sampling import Sampling
from pellucid.generate.slots import Slots, Stream, draw
from pellucid.model.decoder import Decoder

__all__ = ["Completer", "Completion", "HasEnded", "generate_batch"]

HasEnded = Callable[[Sequence[int]], bool]
"""New tokens of one row → whether they are enough: for stops that are not one token, such as a text."""

_PROMPT_TOKENS = 2048
"""So many tokens of prompts are read in one pass: more gain nothing and their hidden states take memory."""


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

        Raises what `generate_batch` raises.
        """
        streams = _streams(self.model, prompts, max_new_tokens, sampling, seeds, frozenset(stop_ids))

        def choose(ready: list[Stream], logits_RV: Tensor) -> list[bool]:
            drawn = zip(ready, draw(ready, logits_RV), strict=True)
            return [stream.take(id_) or (has_ended is not None and has_ended(stream.new)) for stream, id_ in drawn]

        for slots, some in self._groups([stream for stream in streams if stream.room > 0]):
            _run(slots, some, choose, on_done)
        if without_room := sum(stream.room <= 0 for stream in streams):
            on_done(without_room)
        return [Completion(stream.new, stream.stopped_by) for stream in streams]

    def probability_of(self, id_: int, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Return how likely each prompt makes this id as its next token, at temperature 1."""
        streams = _streams(self.model, prompts, 0, Sampling(), [0] * len(prompts), frozenset())
        found: dict[Stream, float] = {}

        def note(ready: list[Stream], logits_RV: Tensor) -> list[bool]:
            found.update(zip(ready, torch.softmax(logits_RV.float(), dim=1)[:, id_].tolist(), strict=True))
            return [True] * len(ready)

        for slots, some in self._groups(streams):
            _run(slots, some, note)
        return [found[stream] for stream in streams]

    def _groups(self, streams: Sequence[Stream]) -> Iterator[tuple[Slots, list[Stream]]]:
        """Yield streams with slots for them, the longest prompts first; all slots have the room that the first stream needs.

        So a group ends before prompts half as long: they fit in more and smaller slots.
        """
        left = sorted(streams, key=lambda stream: -len(stream.prompt))
        while left:
            longest = len(left[0].prompt)
            group = [stream for stream in left if 2 * len(stream.prompt) > longest]
            left = left[len(group) :]
            fitting = max(1, self.batch_tokens // longest) if self.batch_tokens else len(group)
            room = max(len(stream.prompt) + stream.room for stream in group)
            yield Slots(self.model, min(self.batch_seqs, fitting, len(group)), room), group


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

    All go on at once. A row's draws come from its own seed, whatever else is in the batch.
    `has_ended` is asked after every token whether the row's new tokens are enough.
    Raises `UsageError` for a prompt that is empty, longer than the context or outside the vocabulary.
    """
    return Completer(model, max(1, len(prompts))).complete(
        prompts, max_new_tokens=max_new_tokens, sampling=sampling, seeds=seeds, stop_ids=stop_ids, has_ended=has_ended
    )


def _streams(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling,
    seeds: Sequence[int],
    stop_ids: frozenset[int],
) -> list[Stream]:
    for prompt in prompts:
        check_prompt(model, prompt)
    if len(seeds) != len(prompts):
        raise UsageError(f"there are {len(prompts)} prompts and {len(seeds)} seeds; each prompt needs one")
    context = model.config.context_tokens
    return [
        Stream(prompt, min(max_new_tokens, context - len(prompt)), sampling, seed, stop_ids)
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


@torch.no_grad()
def _run(
    slots: Slots,
    streams: Iterable[Stream],
    on_logits: Callable[[list[Stream], Tensor], list[bool]],
    on_done: Callable[[int], None] = lambda count: None,
) -> None:
    """Let streams go on, as many at once as there are slots, until `on_logits` has said of each that it is done."""
    model, waiting = slots.model, deque(streams)
    was_training = model.training
    model.eval()
    try:
        while waiting or slots.streams:
            while waiting and slots.admit(waiting[0]):
                waiting.popleft()
            step = slots.step(_PROMPT_TOKENS)
            done = [stream for stream, ended in zip(step.ready, on_logits(step.ready, step.logits_RV), strict=True) if ended]
            for stream in done:
                slots.release(stream)
            if done:
                on_done(len(done))
    finally:
        model.train(was_training)
