"""Keys and values of earlier positions, preallocated, so that a decoding step costs one position."""

from copy import copy

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.recipe.model import ModelConfig

__all__ = ["KVCache"]


class KVCache:
    """Room for `max_tokens` positions of `batch_seqs` sequences that all have the same length so far.

    `length` counts the positions held; `Decoder.forward` advances it once per call. Raises `UsageError` when it would overflow.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_seqs: int = 1,
        max_tokens: int | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.max_tokens = max_tokens or config.context_tokens
        shape = (config.layers, batch_seqs, config.kv_heads, self.max_tokens, config.head_channels)
        self._k_LBKTC = torch.zeros(shape, device=device, dtype=dtype)
        self._v_LBKTC = torch.zeros(shape, device=device, dtype=dtype)
        self.length = 0

    def check_room(self, tokens: int) -> None:
        """Raise `UsageError` when `tokens` more positions do not fit."""
        if self.length + tokens > self.max_tokens:
            raise UsageError(
                f"the key-value cache holds {self.length} of {self.max_tokens} positions; {tokens} more do not fit: "
                "make it larger with max_tokens, up to the model's context_tokens"
            )

    def extend(self, layer: int, k_BKTC: Tensor, v_BKTC: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values, of all kv heads or the first, after the held ones; return views of all of them."""
        heads, end = k_BKTC.shape[1], self.length + k_BKTC.shape[2]
        self._k_LBKTC[layer, :, :heads, self.length : end] = k_BKTC
        self._v_LBKTC[layer, :, :heads, self.length : end] = v_BKTC
        return self._k_LBKTC[layer, :, :heads, :end], self._v_LBKTC[layer, :, :heads, :end]

    def keep(self, rows_N: Tensor) -> None:
        """Go on with these sequences only, in this order; the others' keys and values are dropped."""
        self._k_LBKTC, self._v_LBKTC = self._k_LBKTC[:, rows_N], self._v_LBKTC[:, rows_N]

    def branch(self, batch_seqs: int, new_tokens: int) -> "KVCache":
        """Return a cache in which `batch_seqs` sequences begin with the one that this cache holds, with room for more tokens."""
        cache = copy(self)
        cache.max_tokens = self.length + new_tokens
        for name in ("_k_LBKTC", "_v_LBKTC"):
            held_LKTC = getattr(self, name)[:, 0, :, : self.length]
            layers, heads, length, channels = held_LKTC.shape
            room_LBKTC = held_LKTC.new_empty(layers, batch_seqs, heads, cache.max_tokens, channels)
            room_LBKTC[:, :, :, :length] = held_LKTC[:, None]
            setattr(cache, name, room_LBKTC)
        return cache

    def advance(self, tokens: int) -> None:
        """Count `tokens` positions as held, after every layer has written them."""
        self.length += tokens
