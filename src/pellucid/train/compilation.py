"""Whether a model is compiled for training."""

import shutil
import warnings
from typing import Literal, cast

import torch

from pellucid.core.errors import PellucidWarning
from pellucid.model.decoder import Decoder

__all__ = ["compile_model", "is_compiled"]


def is_compiled(mode: Literal["auto", "on", "off"], device: torch.device) -> bool:
    """Tell whether `mode` compiles on this device.

    `auto` compiles on a GPU. On a CPU it does not: the decoder's own float32 path (`model/fused.py`) is faster than what
    torch.compile makes of the plain one (`benchmarks/train_step.json`), and it starts at once. `on` without a C++ compiler warns
    and stays eager, because torch.compile would fail at the first step.
    """
    if mode == "on" and device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        message = "compile: on needs a C++ compiler (c++, g++ or clang++), and none was found: not compiled"
        warnings.warn(message, PellucidWarning, stacklevel=2)
        return False
    return mode == "on" or (mode == "auto" and device.type == "cuda")


def compile_model(model: Decoder, mode: Literal["auto", "on", "off"]) -> Decoder:
    """Return the model to call in training: compiled, sharing the parameters of `model`, or `model` itself (see `is_compiled`).

    Shapes are taken as fixed, so that every step runs the same machine code, also after a resume.
    """
    if not is_compiled(mode, model.head_weight.device):
        return model
    return cast(Decoder, torch.compile(model, dynamic=False))
