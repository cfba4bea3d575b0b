"""Whether a model is compiled for training."""

import shutil
import warnings
from typing import Literal

import torch

from pellucid.core.errors import PellucidWarning
from pellucid.model.decoder import Decoder

__all__ = ["compile_model", "is_compiled"]


def is_compiled(mode: Literal["auto", "on", "off"], device: torch.device) -> bool:
    """Tell whether `mode` compiles on this device.

    `auto` compiles on a GPU. On a CPU it does not: the decoder's own float32 path (`kernels/`) is faster than what
    torch.compile makes of the plain one (`benchmarks/cpu_pretrain.json`), and it starts at once. `on` without a C++ compiler warns
    and stays eager, because torch.compile would fail at the first step.
    """
    if mode == "on" and device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        message = "compile: on needs a C++ compiler (c++, g++ or clang++), and none was found: not compiled"
        warnings.warn(message, PellucidWarning, stacklevel=2)
        return False
    return mode == "on" or (mode == "auto" and device.type == "cuda")


def compile_model(model: Decoder, mode: Literal["auto", "on", "off"], device: torch.device) -> bool:
    """Compile each block of `model` in place for training; tell whether that was done (see `is_compiled`).

    One block is compiled once and serves for all, and blocks remain what FSDP gathers one by one. Shapes are taken as fixed, so
    that every step runs the same machine code, also after a resume. Comes before sharding.
    """
    if not is_compiled(mode, device):
        return False
    for block in model.blocks:
        block.compile(dynamic=False)
    return True
