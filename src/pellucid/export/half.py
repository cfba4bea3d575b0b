"""Weights in 16 bits: rounded once, and refused where the type ends."""

import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError

__all__ = ["FLOAT16_LARGEST", "finite", "float16", "not_finite"]

FLOAT16_LARGEST = 65504.0


def finite(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor in float32 on the CPU, in one piece of memory; raise `ArtifactError` where it is not finite."""
    tensor = tensor.detach().to("cpu", torch.float32).contiguous()
    if not bool(torch.isfinite(tensor).all()):
        raise not_finite(name)
    return tensor


def not_finite(name: str) -> ArtifactError:
    """Return the error for a tensor that holds infinite values or no numbers."""
    return ArtifactError(f"{name} holds values that are not finite; export an earlier checkpoint")


def float16(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor rounded to float16; raise `ArtifactError` where it is not finite or reaches beyond what the type holds."""
    tensor = finite(name, tensor)
    largest = float(tensor.abs().amax()) if tensor.numel() else 0.0
    if largest > FLOAT16_LARGEST:
        raise ArtifactError(
            f"{name} reaches {largest:.4g}, float16 ends at {FLOAT16_LARGEST:g}: export as hf or as GGUF with gguf_types: [F32]"
        )
    return tensor.half()
