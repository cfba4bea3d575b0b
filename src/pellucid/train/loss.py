"""Cross-entropy of next tokens from hidden states, without ever holding the logits of all positions.

The head's matrix product, the softmax and both gradients are computed chunk by chunk of positions in the forward pass, so at most
`CHUNK_ROWS`·V logits exist at a time, where a plain loss keeps B·T·V of them, and again as their gradient. Where many positions
have no target, those that have one are picked out first, so that the others cost nothing.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid.kernels.linear import product

__all__ = ["IGNORE", "TokenLoss", "token_loss"]

IGNORE = -100
"""Targets with this value carry no loss."""

CHUNK_ROWS = {"cpu": 512, "cuda": 2048}
"""Positions of one chunk: enough for an efficient matrix product; on a CPU their logits stay in the last-level cache."""


class TokenLoss(NamedTuple):
    """What `token_loss` returns: the sum to differentiate, and detached figures per token."""

    loss_sum: Tensor
    """Scalar, float32: sum over the targets of their weight times (nats + `z_loss` · log² Z). The caller divides by the targets."""
    nats_BT: Tensor
    """Detached float32: -log p(target), without weight and z-loss, zero where there is no target."""
    log_z_BT: Tensor
    """Detached float32: log of the softmax's normaliser, zero where there is no target."""


def token_loss(
    x_BTD: Tensor,
    head_weight_VD: Tensor,
    targets_BT: Tensor,
    z_loss: float = 0.0,
    weights_BT: Tensor | None = None,
    rows_N: Tensor | None = None,
) -> TokenLoss:
    """Return the summed cross-entropy of `targets_BT` under softmax(x · headᵀ), in float32 whatever the type of x.

    `z_loss` weighs the square of log Z (PaLM, arXiv 2204.02311, section 5). `weights_BT` (float32, of either sign) multiplies what
    each target adds to the sum, and so its gradient. `rows_N` (int64, ascending, counted through all B·T) holds at least the
    positions with a target: only these are computed, with the same result.
    Gradients reach x and the head; second derivatives are not supported. Without gradients (evaluation) only the forward part is
    computed.
    """
    x_MD, targets_M = x_BTD.reshape(-1, x_BTD.shape[-1]), targets_BT.reshape(-1)
    weights_M = None if weights_BT is None else weights_BT.reshape(-1)
    if not torch.is_grad_enabled():
        # A function is told which inputs want gradients, and not that there will be none.
        x_MD, head_weight_VD = x_MD.detach(), head_weight_VD.detach()
    loss_sum, nats_M, log_z_M = _ChunkedCrossEntropy.apply(x_MD, head_weight_VD, targets_M, z_loss, weights_M, rows_N)  # type: ignore[no-untyped-call]
    return TokenLoss(loss_sum, nats_M.view(targets_BT.shape), log_z_M.view(targets_BT.shape))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made in forward, where the probabilities are at hand; backward only scales them by the scalar that comes in."""

    @staticmethod
    def forward(
        ctx: Any,
        x_MD: Tensor,
        head_VD: Tensor,
        targets_M: Tensor,
        z_loss: float,
        weights_M: Tensor | None,
        rows_N: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of all M positions N are computed: those in `rows_N`, or all."""
        if torch.is_autocast_enabled(x_MD.device.type):
            x_MD = x_MD.to(torch.get_autocast_dtype(x_MD.device.type))
        x_ND, targets_N, weights_N = x_MD, targets_M, weights_M
        if rows_N is not None:
            x_ND, targets_N = x_MD[rows_N], targets_M[rows_N]
            weights_N = None if weights_M is None else weights_M[rows_N]
        need_x, need_head = ctx.needs_input_grad[:2]
        head_used_VD = head_VD.to(x_ND.dtype)
        valid_N = targets_N != IGNORE
        target_N = torch.where(valid_N, targets_N, 0)
        # What a position counts: a weight stays float32, so that it is not rounded to bf16 for a whole position.
        counts_N = valid_N.to(x_ND.dtype) if weights_N is None else torch.where(valid_N, weights_N, 0)
        nats_N, log_z_N = (torch.empty(x_ND.shape[0], dtype=torch.float32, device=x_ND.device) for _ in range(2))
        dx_ND = torch.empty_like(x_ND) if need_x else None
        dhead_VD = torch.zeros(head_VD.shape, dtype=torch.float32, device=head_VD.device) if need_head else None
        chunk = CHUNK_ROWS.get(x_ND.device.type, 2048)
        for start in range(0, x_ND.shape[0], chunk):
            part = slice(start, start + chunk)
            logits_NV = product(x_ND[part], head_used_VD).float()
            target_N1 = target_N[part, None]
            target_logit_N = logits_NV.gather(1, target_N1)[:, 0]
            largest_N = logits_NV.amax(1)
            # torch's softmax is several times faster than its logsumexp and exp. The largest probability is at least 1/V, so its
            # logarithm gives the normaliser without loss.
            p_NV = torch.softmax(logits_NV, dim=1, out=logits_NV)
            log_z_N[part] = largest_N - p_NV.amax(1).log()
            nats_N[part] = log_z_N[part] - target_logit_N
            if need_x or need_head:
                if z_loss:
                    p_NV *= 1 + 2 * z_loss * log_z_N[part, None]
                dlogits_NV = p_NV.scatter_(1, target_N1, p_NV.gather(1, target_N1) - 1).to(x_ND.dtype)
                counts_N1 = counts_N[part, None]
                if dx_ND is not None:
                    torch.mul(product(dlogits_NV, head_used_VD.T), counts_N1, out=dx_ND[part])
                if dhead_VD is not None:
                    _add_product(dhead_VD, dlogits_NV.T, (x_ND[part] * counts_N1).to(x_ND.dtype))
                del dlogits_NV
            # The next chunk's logits are to take the place of these, not one beside them.
            del logits_NV, p_NV
        nats_N.masked_fill_(~valid_N, 0)
        log_z_N.masked_fill_(~valid_N, 0)
        loss_sum = _weighted(nats_N, weights_N).sum() + (z_loss * _weighted(log_z_N.square(), weights_N).sum() if z_loss else 0)
        if rows_N is not None:
            nats_N, log_z_N = (_put_back(part, rows_N, len(targets_M)) for part in (nats_N, log_z_N))
            dx_ND = None if dx_ND is None else _put_back(dx_ND, rows_N, len(targets_M))
        ctx.save_for_backward(dx_ND, dhead_VD)
        ctx.dtypes = x_ND.dtype, head_VD.dtype
        ctx.mark_non_differentiable(nats_N, log_z_N)
        return loss_sum, nats_N, log_z_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0]
        dx_ND, dhead_VD = ctx.saved_tensors
        dx = None if dx_ND is None else dx_ND * scale.to(dx_ND.dtype)
        dhead = None if dhead_VD is None else (dhead_VD * scale).to(ctx.dtypes[1])
        return dx, dhead, None, None, None, None


def _weighted(x_N: Tensor, weights_N: Tensor | None) -> Tensor:
    return x_N if weights_N is None else x_N * weights_N


def _put_back(x_N: Tensor, rows_N: Tensor, positions: int) -> Tensor:
    """Return what was computed of the rows at their places among all positions, and zeros at the others."""
    return x_N.new_zeros(positions, *x_N.shape[1:]).index_copy_(0, rows_N, x_N)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a · b with a float32 total, whatever the factors' type."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
