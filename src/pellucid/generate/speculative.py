"""Speculative decoding: a small model proposes tokens, the large one reads them all at once and keeps what it would have drawn.

What comes out is distributed as if the large model had drawn it alone, whatever the small one proposes (Leviathan et al. 2023,
arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318). Temperature 0 gives the large model's own tokens. What it gains
depends on how often the two agree: reading a few tokens at once costs the large model little more than reading one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import Generation, cache_for, next_logits
from pellucid.generate.engine import Token
from pellucid.generate.sampling import Sampling, distribution
from pellucid.model.decoder import Decoder

__all__ = ["SpeculativeGeneration", "generate_speculative"]


class SpeculativeGeneration(Generation):
    """Yields new token ids of `model`, as `Generation` does. `accepted` of the `proposed` tokens were the small model's."""

    proposed = accepted = 0

    def propose_with(self, draft: Decoder, draft_tokens: int) -> None:
        """Take proposals from `draft`, `draft_tokens` at a time; before the first token."""
        if draft.config.vocab_tokens != self._model.config.vocab_tokens:
            raise UsageError(
                f"the small model's vocab_tokens is {draft.config.vocab_tokens}, "
                f"the large one's {self._model.config.vocab_tokens}: both must have the same tokenizer"
            )
        if draft_tokens < 1:
            raise UsageError(f"draft_tokens is {draft_tokens}; it must be at least 1")
        self._draft, self._draft_tokens = draft, draft_tokens
        self._draft_cache = cache_for(draft, min(draft.config.context_tokens, self._cache.max_tokens))

    def _step(self) -> list[Token]:
        ids, drafts_NV = self._propose()
        unread = self._ids[self._cache.length :] + ids
        logits_NV = next_logits(self._model, unread, self._cache, last=len(ids) + 1)
        seen, tokens = self._seen.copy(), []
        for id_, draft_V, logits_V in zip(ids, drafts_NV, logits_NV, strict=False):
            own_V = distribution(logits_V, self._sampling, seen)
            # A token that is q likely to be proposed and p likely to be drawn is kept with probability min(1, p / q).
            if self._point() * draft_V[id_] >= own_V[id_]:
                tokens.append(self._token(logits_V, self._draw(_beyond(own_V, draft_V))))
                break
            tokens.append(self._token(logits_V, id_))
            seen.add(id_)
        else:
            logits_V = logits_NV[-1]
            tokens.append(self._token(logits_V, self._draw(distribution(logits_V, self._sampling, seen))))
        kept = len(tokens) - 1
        self.proposed += len(ids)
        self.accepted += kept
        # Both forget what was read of proposals that were not kept.
        self._cache.length = len(self._ids) + kept
        self._draft_cache.length = min(self._draft_cache.length, self._cache.length)
        return tokens

    def _propose(self) -> tuple[list[int], list[NDArray[np.float64]]]:
        """Return the small model's next tokens and the distributions that they were drawn from."""
        room = self._draft_cache.max_tokens - len(self._ids) + 1
        ids: list[int] = []
        drafts_NV: list[NDArray[np.float64]] = []
        seen = self._seen.copy()
        # The large model adds a token of its own to those that it keeps.
        for _ in range(min(self._draft_tokens, self._remaining - 1, self._room - 1, room)):
            unread = (self._ids + ids)[self._draft_cache.length :]
            drafts_NV.append(distribution(next_logits(self._draft, unread, self._draft_cache)[0], self._sampling, seen))
            ids.append(self._draw(drafts_NV[-1]))
            seen.add(ids[-1])
        return ids, drafts_NV

    def _point(self) -> float:
        return torch.rand(1, dtype=torch.float64, generator=self._generator).item()

    def _draw(self, p_V: NDArray[np.float64]) -> int:
        reached_V = np.cumsum(p_V)
        return int(np.searchsorted(reached_V, self._point() * reached_V[-1], side="right"))


def generate_speculative(
    model: Decoder,
    draft: Decoder,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    draft_tokens: int = 4,
    sampling: Sampling | None = None,
    seed: int = 0,
    stop_ids: Iterable[int] = (),
    top_logprobs: int | None = None,
) -> SpeculativeGeneration:
    """Return an iterator over new token ids after the prompt `ids`, distributed as those of `generate` with `model`.

    Not the same draws, unless temperature is 0: a seed means the same only with the same `draft` and `draft_tokens`. Beyond the
    small model's context `model` goes on alone. Raises `UsageError` for another vocabulary, and as `generate`.
    """
    generation = SpeculativeGeneration(model, ids, max_new_tokens, sampling or Sampling(), seed, stop_ids, top_logprobs)
    generation.propose_with(draft, draft_tokens)
    return generation


def _beyond(own_V: NDArray[np.float64], draft_V: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much more likely each token is than its proposal, not normalised: what is drawn from when one was not kept."""
    beyond_V: NDArray[np.float64] = np.maximum(own_V - draft_V, 0.0)
    return beyond_V if beyond_V.any() else own_V
