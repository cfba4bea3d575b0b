"""Keys and values of many sequences at once, each with a length of its own: a slot for each."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.kernels.attention import attention
from pellucid.recipe.model import ModelConfig

__all__ = ["Piece", "SlotCache"]

_WASTE = 1.25
"""Slots that lie side by side are attended to in one call while that reads at most so many times the positions they hold."""


class Piece(NamedTuple):
    """So many new tokens of the sequence in a slot."""

    slot: int
    tokens: int


class _Run(NamedTuple):
    """Pieces that one call of attention computes: one piece, or one token each of slots side by side."""

    slots: slice
    tokens: slice
    end: int
    mask_B1TS: Tensor | None


class SlotCache:
    """Room for `max_tokens` positions, the model's context by default, in each of `slots` slots.

    Before a forward pass `begin` says which sequences its tokens belong to; they stand one behind another in a single row, so that
    prompts of any length and single new tokens share the matrix products without padding. A slot's memory is taken when it is
    first written to, where the system does so (Linux on a CPU). `lengths` are the positions that each slot holds.
    """

    def __init__(
        self,
        config: ModelConfig,
        slots: int,
        max_tokens: int | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.max_tokens = min(max_tokens or config.context_tokens, config.context_tokens)
        shape = (config.layers, slots, config.kv_heads, self.max_tokens, config.head_channels)
        # Zeros, since a run of slots also reads, and then weighs with nothing, what lies behind its shorter ones.
        self._k_LSKTC = torch.zeros(shape, device=device, dtype=dtype)
        self._v_LSKTC = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = [0] * slots
        self._written = [0] * slots
        self._pieces: Sequence[Piece] = ()
        self.position_N = self._slot_N = torch.empty(0, dtype=torch.long)
        self._runs: list[_Run] = []

    def begin(self, pieces: Sequence[Piece]) -> None:
        """Say whose tokens come next, in their order; a slot comes once. Raises `UsageError` for a slot without room for them."""
        for slot, tokens in pieces:
            if self.lengths[slot] + tokens > self.max_tokens:
                raise UsageError(
                    f"slot {slot} holds {self.lengths[slot]} of {self.max_tokens} positions; {tokens} more do not fit: "
                    "make the slots larger with max_tokens, up to the model's context_tokens"
                )
        device = self._k_LSKTC.device
        ends = [self.lengths[slot] + tokens for slot, tokens in pieces]
        for (slot, _), end in zip(pieces, ends, strict=True):
            self._written[slot] = max(self._written[slot], end)
        positions = [at for piece, end in zip(pieces, ends, strict=True) for at in range(end - piece.tokens, end)]
        slots = [slot for slot, tokens in pieces for _ in range(tokens)]
        self.position_N, self._slot_N = torch.tensor([positions, slots], device=device)
        self._pieces, self._runs = pieces, self._cut(pieces, ends)

    def _cut(self, pieces: Sequence[Piece], ends: Sequence[int]) -> list[_Run]:
        runs, at, token = [], 0, 0
        while at < len(pieces):
            count, longest, held = 1, ends[at], ends[at]
            while pieces[at].tokens == 1 and at + count < len(pieces):
                longer, more = max(longest, ends[at + count]), held + ends[at + count]
                beside = pieces[at + count] == (pieces[at].slot + count, 1)
                if not beside or (count + 1) * longer > _WASTE * more:
                    break
                count, longest, held = count + 1, longer, more
            tokens = pieces[at].tokens if count == 1 else count
            first = pieces[at].slot
            mask = self._mask(ends[at : at + count], longest, 1 if count > 1 else tokens)
            runs.append(_Run(slice(first, first + count), slice(token, token + tokens), longest, mask))
            at, token = at + count, token + tokens
        return runs

    def _mask(self, ends: Sequence[int], longest: int, tokens: int) -> Tensor | None:
        device = self._k_LSKTC.device
        if tokens > 1 and longest > tokens:
            return torch.ones(tokens, longest, dtype=torch.bool, device=device).tril(longest - tokens)[None, None]
        if min(ends) == longest:
            return None
        return (torch.arange(longest, device=device) < torch.tensor(ends, device=device)[:, None])[:, None, None]

    def attend(self, layer: int, q_1HNC: Tensor, k_1KNC: Tensor, v_1KNC: Tensor) -> Tensor:
        """Write one layer's new keys and values and return what each token reads in its own sequence, (1, H, N, C)."""
        k_SKTC, v_SKTC = self._k_LSKTC[layer], self._v_LSKTC[layer]
        for held_SKTC, new_1KNC in ((k_SKTC, k_1KNC), (v_SKTC, v_1KNC)):
            if len(self._pieces) == 1:  # a plain copy costs a few times less than one by indices
                (only,) = self._pieces
                start = self.lengths[only.slot]
                held_SKTC[only.slot, :, start : start + only.tokens] = new_1KNC[0]
            else:
                held_SKTC[self._slot_N, :, self.position_N] = new_1KNC[0].transpose(0, 1).to(held_SKTC.dtype)
        read = []
        for slots, tokens, end, mask_B1TS in self._runs:
            q_BHTC, seqs = q_1HNC[:, :, tokens], slots.stop - slots.start
            q_BHTC = q_BHTC.transpose(0, 2) if seqs > 1 else q_BHTC
            causal = mask_B1TS is None and q_BHTC.shape[2] > 1
            y_BHTC = attention(q_BHTC, k_SKTC[slots, :, :end], v_SKTC[slots, :, :end], mask_B1TS, causal)
            read.append(y_BHTC.transpose(0, 2) if seqs > 1 else y_BHTC)
        return read[0] if len(read) == 1 else torch.cat(read, dim=2)

    def advance(self, tokens: int) -> None:
        """Count the begun pieces, `tokens` in all, as held, after every layer has written them."""
        assert tokens == len(self.position_N), f"{tokens} tokens were given, {len(self.position_N)} were begun"
        for piece in self._pieces:
            self.lengths[piece.slot] += piece.tokens

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let a slot hold the first positions of another, or of itself, and nothing else."""
        if source != target:
            for held_LSKTC in (self._k_LSKTC, self._v_LSKTC):
                held_LSKTC[:, target, :, :tokens] = held_LSKTC[:, source, :, :tokens]
            self._written[target] = max(self._written[target], tokens)
        self.lengths[target] = tokens

    def clear(self, slot: int) -> None:
        """Empty a slot, of numbers that are none as well."""
        for held_LSKTC in (self._k_LSKTC, self._v_LSKTC):
            held_LSKTC[:, slot, :, : self._written[slot]] = 0
        self.lengths[slot] = self._written[slot] = 0
