"""Cross-entropy of next tokens from hidden states, without ever holding the logits of all positions.

The head's matrix product, the softmax and both gradients are computed chunk by chunk of positions in the forward pass, so at most
`CHUNK_ROWS`·V logits exist at a time, where a plain loss keeps B·T·V of them, and again as their gradient.
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
    """Scalar, float32: sum of nats over the targets, plus `z_loss` times the sum of log² Z. The caller divides by the targets."""
    nats_BT: Tensor
    """Detached float32: -log p(target), without the z-loss, zero where there is no target."""
    log_z_BT: Tensor
    """Detached float32: log of the softmax's normaliser, zero where there is no target."""


def token_loss(x_BTD: Tensor, head_weight_VD: Tensor, targets_BT: Tensor, z_loss: float = 0.0) -> TokenLoss:
    """Return the summed cross-entropy of `targets_BT` under softmax(x · headᵀ), in float32 whatever the type of x.

    `z_loss` weighs the square of log Z (PaLM, arXiv 2204.02311, section 5). Gradients reach x and the head; second derivatives are
    not supported. Without gradients (evaluation) only the forward part is computed.
    """
    x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
    loss_sum, nats_N, log_z_N = _ChunkedCrossEntropy.apply(x_ND, head_weight_VD, targets_BT.reshape(-1), z_loss)  # type: ignore[no-untyped-call]
    return TokenLoss(loss_sum, nats_N.view(targets_BT.shape), log_z_N.view(targets_BT.shape))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made in forward, where the probabilities are at hand; backward only scales them by the scalar that comes in."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, head_VD: Tensor, targets_N: Tensor, z_loss: float) -> tuple[Tensor, Tensor, Tensor]:
        if torch.is_autocast_enabled(x_ND.device.type):
            x_ND = x_ND.to(torch.get_autocast_dtype(x_ND.device.type))
        need_x, need_head = ctx.needs_input_grad[:2]
        head_used_VD = head_VD.to(x_ND.dtype)
        valid_N = targets_N != IGNORE
        target_N = torch.where(valid_N, targets_N, 0)
        nats_N, log_z_N = (torch.empty(x_ND.shape[0], dtype=torch.float32, device=x_ND.device) for _ in range(2))
        dx_ND = torch.empty_like(x_ND) if need_x else None
        dhead_VD = torch.zeros(head_VD.shape, dtype=torch.float32, device=head_VD.device) if need_head else None
        rows = CHUNK_ROWS.get(x_ND.device.type, 2048)
        for start in range(0, x_ND.shape[0], rows):
            part = slice(start, start + rows)
            logits_NV = product(x_ND[part], head_used_VD).float()
            target_N1 = target_N[part, None]
            target_logit_N = logits_NV.gather(1, target_N1)[:, 0]
            largest_N = logits_NV.amax(1)
            # torch's softmax is several times faster than its logsumexp and exp. The largest probability is at least 1/V, so its
            # logarithm gives the normaliser without loss.
            p_NV = torch.softmax(logits_NV, dim=1, out=logits_NV)
            log_z_N[part] = largest_N - p_NV.amax(1).log()
            nats_N[part] = log_z_N[part] - target_logit_N
            if not (need_x or need_head):
                continue
            if z_loss:
                p_NV *= 1 + 2 * z_loss * log_z_N[part, None]
            dlogits_NV = p_NV.scatter_(1, target_N1, p_NV.gather(1, target_N1) - 1).to(x_ND.dtype)
            valid_N1 = valid_N[part, None].to(x_ND.dtype)
            if dx_ND is not None:
                torch.mul(product(dlogits_NV, head_used_VD.T), valid_N1, out=dx_ND[part])
            if dhead_VD is not None:
                _add_product(dhead_VD, dlogits_NV.T, x_ND[part] * valid_N1)
        nats_N.masked_fill_(~valid_N, 0)
        log_z_N.masked_fill_(~valid_N, 0)
        loss_sum = nats_N.sum() + (z_loss * log_z_N.square().sum() if z_loss else 0)
        ctx.save_for_backward(dx_ND, dhead_VD)
        ctx.dtypes = x_ND.dtype, head_VD.dtype
        ctx.mark_non_differentiable(nats_N, log_z_N)
        return loss_sum, nats_N, log_z_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        scale = grads[0]
        dx_ND, dhead_VD = ctx.saved_tensors
        dx = None if dx_ND is None else dx_ND * scale.to(dx_ND.dtype)
        dhead = None if dhead_VD is None else (dhead_VD * scale).to(ctx.dtypes[1])
        return dx, dhead, None, None


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a · b with a float32 total, whatever the factors' type."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
