"""A small model that guesses how a text goes on, for a large one that reads the guesses all at once.

Both take the same random number for the same place: the small model proposes what it would have drawn with it, and the large one
draws with it as ever. A proposal is kept when the two are equal. So an answer is the one that the large model gives alone, token by
token, whether anything was proposed or not; and two models that nearly agree nearly always draw the same (common random numbers).
The rule of Leviathan et al. 2023 (`speculative`) keeps more of them, but its answers depend on what was proposed: there a seed
would mean something else with every number of requests that run at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.generate.decoding import cache_for, next_logits
from pellucid.generate.sampling import choose
from pellucid.generate.slots import Stream, common_tokens
from pellucid.model.decoder import Decoder

__all__ = ["Proposer"]

_READ_TOKENS = 256
"""A text that is longer than what was read of it by more than this is read piece by piece, while the large model goes on alone."""


class Proposer:
    """Proposes up to `tokens` tokens at a time with `draft`, for one stream after another. Raises `UsageError` for no tokens."""

    def __init__(self, draft: Decoder, tokens: int = 4) -> None:
        if tokens < 1:
            raise UsageError(f"the small model proposes {tokens} tokens; it must be at least 1")
        self.vocab_tokens = draft.config.vocab_tokens
        self._draft, self._tokens = draft.eval(), tokens
        self._cache = cache_for(draft, draft.config.context_tokens)
        self._held: list[int] = []

    def propose(self, stream: Stream) -> list[int]:
        """Return what may come next; nothing where the stream has room for one token only, or the draft none for the text."""
        ids = list(stream.ids)
        # The large model adds a token of its own to those that it keeps.
        room = min(self._tokens, stream.room - len(stream.new) - 1, self._cache.max_tokens - len(ids))
        if room < 1:
            return []
        generator, seen = torch.Generator(), stream.seen.copy()
        generator.set_state(stream.generator.get_state())
        self._go_back_to(ids)
        if len(ids) - len(self._held) > _READ_TOKENS:
            self._read(ids[len(self._held) :][:_READ_TOKENS])
            return []
        proposed: list[int] = []
        while len(proposed) < room and (not proposed or proposed[-1] not in stream.stop_ids):
            logits_V = self._read((ids + proposed)[len(self._held) :])
            try:
                proposed.append(choose(logits_V, stream.sampling, generator, seen))
            except ArtifactError:
                break  # a damaged draft costs time, not answers
            seen.add(proposed[-1])
        return proposed

    def _read(self, ids: list[int]) -> Tensor:
        logits_V = next_logits(self._draft, ids, self._cache)[0]
        self._held += ids
        return logits_V

    def _go_back_to(self, ids: Sequence[int]) -> None:
        """Keep of what was read what these begin with, but not their last token, whose logits are asked for."""
        kept = min(common_tokens(self._held, ids), len(ids) - 1)
        del self._held[kept:]
        self._cache.length = kept
