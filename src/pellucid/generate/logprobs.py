"""What the model itself makes of a token: natural log-probabilities, before biases, penalties, temperature and cuts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.generate.engine import Token
from pellucid.model.decoder import Decoder

__all__ = ["scored", "scored_prompt"]

_AT_ONCE_TOKENS = 64
"""Logits of so many tokens of a prompt are held at once: those of a whole one can be larger than the model."""


def scored(logits_V: Tensor, id_: int, top: int = 0) -> Token:
    """Return a token with its log-probability under these logits, and the `top` likeliest ones: of equals the lowest id first."""
    log_p_V = torch.log_softmax(logits_V.float(), dim=0)
    if not top:
        return Token(id_, float(log_p_V[id_]))
    least = log_p_V.topk(min(top, len(log_p_V))).values[-1]
    # topk gives no order to equals.
    ids_N = (log_p_V >= least).nonzero()[:, 0]
    best_N = torch.sort(log_p_V[ids_N], descending=True, stable=True).indices[:top]
    ids_N = ids_N[best_N]
    return Token(id_, float(log_p_V[id_]), tuple(zip(ids_N.tolist(), log_p_V[ids_N].tolist(), strict=True)))


def scored_prompt(model: Decoder, following: Sequence[int], x_TD: Tensor, top: int = 0) -> list[Token]:
    """Return tokens of a prompt, scored, from the hidden states of the tokens before each of them."""
    found: list[Token] = []
    for part_TD in torch.split(x_TD[: len(following)], _AT_ONCE_TOKENS):
        logits_TV = model.logits(part_TD)
        found += [scored(logits_V, id_, top) for id_, logits_V in zip(following[len(found) :], logits_TV, strict=False)]
    return found
