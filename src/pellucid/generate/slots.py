"""Sequences under way in the slots of one cache: what each forward pass reads, and what a new prompt takes over from others.

A pass holds one token of every sequence that is being written, and as many of prompts as its budget allows: a long prompt does not
make the others wait. Iteration by iteration sequences come and go (Yu et al. 2022, Orca). A prompt that begins like the tokens in
a slot, whether they are still in use or not, takes their keys and values (Zheng et al. 2023, arXiv 2312.07104, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.generate.sampling import Sampling, SeenTokens, choose_batch
from pellucid.kernels.slots import Piece, SlotCache
from pellucid.model.decoder import Decoder

__all__ = ["Read", "Slots", "Step", "Stream", "common_tokens", "draw"]

_WORTH_WAITING_TOKENS = 16
"""A prompt waits for another that is being read when it can then take over so many tokens more."""


@dataclass(eq=False)
class Stream:
    """One sequence: a prompt and what is written after it, at most `room` tokens. `ids` are both.

    `slot` is where it is held, `reused` how much of the prompt was there already, `read` how many tokens have been held
    there. `whole`: the prompt is read from its first token, for its hidden states are asked for.
    """

    prompt: Sequence[int]
    room: int
    sampling: Sampling
    seed: int
    stop_ids: frozenset[int] = frozenset()
    whole: bool = False
    slot: int = -1
    reused: int = 0
    read: int = 0
    stopped_by: int | None = None
    ids: list[int] = field(init=False)
    generator: torch.Generator = field(init=False)
    seen: SeenTokens = field(init=False)

    def __post_init__(self) -> None:
        self.ids = list(self.prompt)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.seen = SeenTokens(self.prompt if self.sampling.needs_seen else ())

    @property
    def new(self) -> list[int]:
        """The tokens after the prompt."""
        return self.ids[len(self.prompt) :]

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return len(self.ids) - len(self.prompt) >= self.room

    def take(self, id_: int) -> bool:
        """Note the next token; tell whether it was the last. A stop id is not among `ids`."""
        if id_ in self.stop_ids:
            self.stopped_by = id_
            return True
        self.ids.append(id_)
        if self.sampling.needs_seen:
            self.seen.add(id_)
        return self.full


class Read(NamedTuple):
    """Tokens that a pass has read: of a stream, from the position `start` on, with their hidden states."""

    stream: Stream
    start: int
    x_TD: Tensor


class Step(NamedTuple):
    """What a pass gave: all that it read, and the streams that are to choose their next token now, with its logits."""

    read: list[Read]
    ready: list[Stream]
    logits_RV: Tensor


class Slots:
    """The slots of one model, `count` of them with room for `max_tokens` positions each, and the streams that are in them."""

    def __init__(self, model: Decoder, count: int, max_tokens: int | None = None) -> None:
        weight = model.head_weight
        self.model = model
        self.cache = SlotCache(model.config, count, max_tokens, device=weight.device, dtype=weight.dtype)
        self.streams: dict[int, Stream] = {}
        """By their slots, in the order in which they came."""
        self._held: list[list[int]] = [[] for _ in range(count)]
        self._last_use = [0] * count
        self._uses = 0

    @property
    def writing(self) -> bool:
        """Whether a stream has read its prompt."""
        return any(len(self._held[slot]) >= len(stream.prompt) for slot, stream in self.streams.items())

    def admit(self, stream: Stream) -> bool:
        """Give a stream a slot. False: none is free, or another stream is about to read what this one can take over."""
        free = [slot for slot in range(len(self._held)) if slot not in self.streams]
        if not free:
            return False
        # Its last token is always read, for the logits after it.
        sought = [] if stream.whole else stream.ids[:-1]
        shared, source = max((common_tokens(held, sought), -slot) for slot, held in enumerate(self._held))
        source = -source
        coming = [
            common_tokens(other.ids, sought) for slot, other in self.streams.items() if len(self._held[slot]) < len(other.prompt)
        ]
        if max(coming, default=0) >= shared + _WORTH_WAITING_TOKENS:
            return False
        oldest = min((slot for slot in free if slot != source or len(free) == 1), key=lambda slot: self._last_use[slot])
        # A slot of which this prompt is the greater part goes on with it; of another its tokens stay, for who comes later.
        target = source if source in free and 2 * shared >= len(self._held[source]) else oldest
        self.cache.copy(source, target, shared)
        self._held[target] = sought[:shared]
        stream.slot, stream.reused, stream.read = target, shared, shared
        self.streams[target] = stream
        return True

    def release(self, stream: Stream, *, spoilt: bool = False) -> None:
        """Take a stream out. Its tokens stay for prompts that begin like it, unless they are `spoilt`."""
        del self.streams[stream.slot]
        if spoilt:
            self.cache.clear(stream.slot)
            self._held[stream.slot] = []
        self._uses += 1
        self._last_use[stream.slot] = self._uses

    def step(self, prompt_tokens: int) -> Step:
        """Read the next token of every stream that has one, and about `prompt_tokens` of prompts, the oldest first.

        There must be a stream. When the pass fails, all streams are as they were.
        """
        ones = [stream for slot, stream in sorted(self.streams.items()) if len(stream.ids) - len(self._held[slot]) == 1]
        taken = [(stream, 1) for stream in ones]
        for stream in self.streams.values():
            unread = len(stream.ids) - len(self._held[stream.slot])
            if unread > 1 and prompt_tokens > 0:
                taken.append((stream, min(unread, prompt_tokens)))
                prompt_tokens -= unread
        starts = [len(self._held[stream.slot]) for stream, _ in taken]
        ids = [stream.ids[start : start + count] for (stream, count), start in zip(taken, starts, strict=True)]
        self.cache.begin([Piece(stream.slot, count) for stream, count in taken])
        device = self.model.head_weight.device
        x_ND = self.model(torch.tensor([[id_ for piece in ids for id_ in piece]], device=device), cache=self.cache)[0]
        for (stream, _), piece in zip(taken, ids, strict=True):
            self._held[stream.slot] += piece
            stream.read = len(self._held[stream.slot])
        parts = torch.split(x_ND, [count for _, count in taken])
        read = [Read(stream, start, x_TD) for (stream, _), start, x_TD in zip(taken, starts, parts, strict=True)]
        ready = [one for one in read if len(self._held[one.stream.slot]) == len(one.stream.ids)]
        last_RD = torch.stack([one.x_TD[-1] for one in ready]) if ready else x_ND[:0]
        return Step(read, [one.stream for one in ready], self.model.logits(last_RD))

    def try_out(self, stream: Stream, proposed: Sequence[int]) -> Tensor:
        """Read the next token of a stream and `proposed` ones behind it; return the logits after each, (1 + proposed, V).

        Then the stream takes what it takes, and `settle` forgets the rest.
        """
        held = self._held[stream.slot]
        ids = [*stream.ids[len(held) :], *proposed]
        self.cache.begin([Piece(stream.slot, len(ids))])
        x_ND = self.model(torch.tensor([ids], device=self.model.head_weight.device), cache=self.cache)[0]
        held += ids
        return self.model.logits(x_ND[-1 - len(proposed) :])

    def settle(self, stream: Stream) -> None:
        """Forget what was read beyond a stream's tokens, of which the last is read next."""
        kept = min(len(self._held[stream.slot]), len(stream.ids) - 1)
        del self._held[stream.slot][kept:]
        self.cache.copy(stream.slot, stream.slot, kept)


def draw(streams: Sequence[Stream], logits_RV: Tensor) -> list[int]:
    """Return the next token of each stream by its own sampling and seed. Raises `ArtifactError` for logits that are no numbers."""
    samplings, generators = [stream.sampling for stream in streams], [stream.generator for stream in streams]
    return choose_batch(logits_RV, samplings, generators, [stream.seen for stream in streams])


def common_tokens(held: Sequence[int], sought: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    if held[: len(sought)] == sought:
        return len(sought)
    return next(
        (at for at, (one, other) in enumerate(zip(held, sought, strict=False)) if one != other), min(len(held), len(sought))
    )
