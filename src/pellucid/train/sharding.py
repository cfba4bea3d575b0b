"""A model over several processes, by torch's FSDP2: replicated, optimizer and gradients sharded, or parameters sharded as well.

Reductions add float32 gradients up without dividing: the loss was already divided by the number of targets of the whole step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

from pellucid.model.decoder import Decoder
from pellucid.recipe.training import ParallelConfig
from pellucid.train.tensor_parallel import cut_tensors
from pellucid.train.world import World

__all__ = ["ShardedGradients", "shard_model"]


def shard_model(model: Decoder, config: ParallelConfig, world: World, device: torch.device) -> None:
    """Shard `model`'s parameters in place over all ranks, block by block; afterwards they are DTensors with the same names.

    `none`: every rank keeps everything, gradients are all-reduced. `zero1`: optimizer state is sharded; parameters are gathered
    once per step. `full`: blocks are gathered for each use and given back after it. With `tensor_ways`, that many neighbouring
    ranks share each block's matrices (see `cut_tensors`), and the rest happens between such groups. Gradients of float32
    parameters are float32, whatever autocast computes in, so they are reduced in float32.
    """
    ways, shares = world.tensor_ways, world.size // world.tensor_ways
    # `none` is shards of one process each, replicated: the same engine, and all-reduce for its only collective.
    sizes = {"replicate": shares, "shard": 1} if config.shard == "none" else {"shard": shares}
    whole = init_device_mesh(device.type, (*sizes.values(), ways), mesh_dim_names=(*sizes, "tensor"))
    mesh = whole[tuple(sizes)]
    if ways > 1:
        cut_tensors(model, whole["tensor"])
    give_back = config.shard == "full"
    offload = CPUOffloadPolicy(pin_memory=device.type == "cuda") if config.cpu_offload else OffloadPolicy()
    for block in model.blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=give_back, offload_policy=offload)
    # The loss uses the head after the model's forward, so what belongs to no block is never given back in between.
    fully_shard(model, mesh=mesh, reshard_after_forward=False, offload_policy=offload)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other


class ShardedGradients:
    """Reduces gradients in the backward pass of a step's last micro-batch only, and gathers no parameter twice before it."""

    def __init__(self, model: Decoder, shard: Literal["none", "zero1", "full"]) -> None:
        assert isinstance(model, FSDPModule), "shard_model comes first"
        self._model, self._keep = model, shard != "full"

    @contextmanager
    def micro_step(self, *, last: bool) -> Iterator[None]:
        """Surround the forward and backward pass of one micro-batch."""
        self._model.set_requires_gradient_sync(last)
        if self._keep:
            self._model.set_reshard_after_backward(last)
        yield

    def finish(self) -> None:
        """Do what remains after the last micro-batch: nothing."""
