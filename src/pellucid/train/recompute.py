"""Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): what is not kept for the backward pass is computed again there."""

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from pellucid.model.decoder import Attending, Block, Decoder

__all__ = ["checkpoint_activations"]

# What linear layers and fused attention come down to. The batched products of attention in blocks, as `kernels/attention.py` makes
# them on a CPU, are not here: theirs are scores and probabilities, which take the most memory and are made again at little cost
# (Korthikanti et al. 2022, arXiv 2205.05198, section 5).
_KEPT_OPERATORS = (
    "aten.mm",
    "aten.addmm",
    "mkldnn._linear_pointwise",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "torch_attn._varlen_attn",
)


def checkpoint_activations(model: Decoder, mode: Literal["none", "block", "selective"]) -> None:
    """Make every block of `model`, in place, keep less for the backward pass and compute the rest again; `none` changes nothing.

    `block` keeps each block's input only. `selective` also keeps the outputs of the linear layers and of fused attention, so that
    norms, rotations, the MLP's activation and, on a CPU, attention in blocks are computed again. Loss and gradients stay the same
    bits (compiled, the same to rounding), and parameters keep their names. To be called before blocks are compiled or sharded.
    """
    if mode == "none":
        return
    for block in model.blocks:
        # A class of its own instead of a module around the block, which would rename the parameters.
        block.__class__ = _SelectiveBlock if mode == "selective" else _RecomputedBlock


def _keep_products() -> tuple[Any, Any]:
    """Return the contexts of forward pass and recomputation: the second takes from the first what is not computed again."""
    # A build of torch without oneDNN lacks its operator.
    packets = [getattr(getattr(torch.ops, library), name, None) for library, name in (op.split(".") for op in _KEPT_OPERATORS)]
    operators = [packet.default for packet in packets if packet is not None]
    return cast(tuple[Any, Any], create_selective_checkpoint_contexts(operators))  # type: ignore[no-untyped-call]


class _RecomputedBlock(Block):
    """Keeps its input. With a cache there is no backward pass, and to run again would write its keys and values once more."""

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        """Return x_BTD after this block. No random state is brought back: a block has nothing random."""
        run = super().forward
        if attending.cache is not None:
            return run(x_BTD, attending)
        return cast(Tensor, checkpoint(run, x_BTD, attending, use_reentrant=False, preserve_rng_state=False))


class _SelectiveBlock(Block):
    """Keeps its input and what the operators above return."""

    def forward(self, x_BTD: Tensor, attending: Attending) -> Tensor:
        """Return x_BTD after this block."""
        run, again = super().forward, _keep_products  # torch.compile wants the function itself, not an attribute
        if attending.cache is not None:
            return run(x_BTD, attending)
        return cast(Tensor, checkpoint(run, x_BTD, attending, use_reentrant=False, preserve_rng_state=False, context_fn=again))
