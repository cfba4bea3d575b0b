"""How long a step takes: computing, moving memory, and talking to other ranks, each a count over a rate of the device.

A roofline (Williams et al. 2009, doi 10.1145/1498765.1498785) whose parts are added up: matrix products run at a share of the peak,
what is between them moves memory meanwhile nothing is multiplied, and of communication some hides behind both. The counts are of
what this package does; the shares are the device's (`devices.yaml`), with how they were found.
"""

from dataclasses import dataclass
from typing import Literal

from pellucid.plan.devices import Device
from pellucid.plan.flops import flops_per_token, recomputed_flops_per_token
from pellucid.plan.memory import BF16, FP32, activation_bytes
from pellucid.plan.parameters import count_adapter, count_parameters, matrix_shapes
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Layout", "StepParts", "step_parts"]

Case = Literal["low", "likely", "high"]

# An activation that is kept is written or read by an operator that is no product, forward and backward; its gradient likewise.
PASSES_OVER_ACTIVATIONS = 4
# A logit goes through product, conversion, maximum, softmax, gradient, conversion and two products (`train/loss.py`).
BYTES_PER_LOGIT = 30
# In each micro-batch a weight is copied to the compute type, its gradient converted and added to what is there.
BYTES_PER_WEIGHT_AND_MICRO_STEP = 20
# Clipping reads a gradient twice and writes it; AdamW reads weight, gradient and two moments, writes three of them.
BYTES_PER_WEIGHT_AND_STEP = 40
# Newton-Schulz iterations of Muon (`optim/muon.py`).
MUON_ITERATIONS = 5

# Share of communication that hides behind computing, where there is something to hide behind. A third is what Stable LM 2's two
# speeds say: 170 TFLOP/s over 512 devices, 200 with less to communicate (section 2.4).
HIDDEN_FRAC: dict[Case, float] = {"low": 1.0, "likely": 1 / 3, "high": 0.0}


@dataclass(frozen=True)
class Layout:
    """How many devices share a stage, and how much of a batch one of them computes at a time."""

    devices: int
    bf16: bool

    def micro_steps(self, stage: TrainStageConfig) -> int:
        """Return the micro-batches of one step on one device, the last of which may be smaller."""
        shares = max(1, self.devices // stage.parallel.tensor_ways)
        return max(1, -(-stage.batch_seqs // (stage.micro_seqs * shares)))


@dataclass(frozen=True)
class StepParts:
    """Seconds of a step by what they are spent on. `hidden_s` of communication cost nothing and are in no part."""

    compute_s: float
    memory_s: float
    communication_s: float
    hidden_s: float

    @property
    def total_s(self) -> float:
        """Seconds of the step."""
        return self.compute_s + self.memory_s + self.communication_s

    @property
    def bound(self) -> str:
        """What takes the most of the step: compute, memory or communication."""
        return max((self.compute_s, "compute"), (self.memory_s, "memory"), (self.communication_s, "communication"))[1]


def step_parts(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> dict[Case, StepParts]:
    """Return a step's parts if everything goes well (`low`), as expected, and if nothing does (`high`)."""
    flops, moved = step_flops(config, stage, layout), step_bytes(config, stage, layout)
    reduced_s, gathered_s, tensor_s = _communication(config, stage, device, layout)
    parts: dict[Case, StepParts] = {}
    opposite: dict[Case, Case] = {"low": "high", "likely": "likely", "high": "low"}
    for case, reached in opposite.items():
        compute_s = flops / (device.peak_flops * getattr(device.compute_frac, reached))
        memory_s = moved / (device.bandwidth_bytes_per_s * getattr(device.memory_frac, reached))
        window_s = compute_s + memory_s
        # Gradients are reduced during the last micro-batch's backward pass; parameters are gathered before the first forward
        # pass, or with `full` around every use.
        alone = window_s / layout.micro_steps(stage)
        behind = ((reduced_s, alone * 2 / 3), (gathered_s, window_s if stage.parallel.shard == "full" else alone / 3))
        hidden_s = HIDDEN_FRAC[case] * sum(min(seconds, room) for seconds, room in behind)
        parts[case] = StepParts(compute_s, memory_s, reduced_s + gathered_s + tensor_s - hidden_s, hidden_s)
    return parts


def step_flops(config: ModelConfig, stage: TrainStageConfig, layout: Layout) -> float:
    """Return what one device multiplies and adds in a step: the model's products, recomputed ones, and the optimizer's."""
    per_token = flops_per_token(config, stage.seq_tokens, stage.adapter)["matmul"]
    if stage.activation_checkpointing == "block":
        per_token += recomputed_flops_per_token(config, stage.seq_tokens)
    tokens = stage.rows_per_example * stage.batch_tokens / layout.devices
    muon = 0
    if stage.optimizer.kind == "muon" and stage.adapter is None:
        for rows, columns in matrix_shapes(config).values():
            small, large = sorted((rows, columns))
            muon += config.layers * MUON_ITERATIONS * (4 * small * small * large + 2 * small**3)
    # Every rank takes some of the matrices.
    return tokens * per_token + muon / layout.devices


def step_bytes(config: ModelConfig, stage: TrainStageConfig, layout: Layout) -> float:
    """Return the bytes that one device moves between its memory and its processor in a step, beside those of matrix products."""
    tokens = stage.rows_per_example * stage.batch_tokens / layout.devices
    kept = activation_bytes(config, 1, seq_tokens=stage.seq_tokens, bf16=layout.bf16, adapter=stage.adapter)
    per_token = PASSES_OVER_ACTIVATIONS * kept + BYTES_PER_LOGIT * config.vocab_tokens
    if stage.activation_checkpointing != "none":
        per_token += 2 * kept  # written and read once more
    weights = count_parameters(config).total
    learnt = weights if stage.adapter is None else count_adapter(config, stage.adapter)
    ranks = 1 if stage.parallel.shard == "none" else layout.devices
    of_weights = layout.micro_steps(stage) * BYTES_PER_WEIGHT_AND_MICRO_STEP * weights / stage.parallel.tensor_ways
    return tokens * per_token + of_weights + BYTES_PER_WEIGHT_AND_STEP * learnt / ranks


@dataclass(frozen=True)
class _Group:
    """Ranks that exchange with each other: how many, how many of them on one machine, and how many devices that has in use."""

    members: int
    in_node: int
    node_devices: int

    def ring_s(self, size: float, device: Device) -> float:
        """Return the seconds in which `size` bytes come to be on all members, of which each has a part: half an all-reduce.

        A ring: (n - 1)/n come into each machine over its network, which the other groups on it use as well, and into each device
        over its link; the slower of both counts.
        """
        nodes = -(-self.members // self.in_node)
        groups = self.node_devices / self.in_node
        within = size * (self.in_node - 1) / self.in_node
        between = groups * size * (nodes - 1) / nodes
        return max(within / device.link_bytes_per_s, between / device.network_bytes_per_s)


def _communication(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> tuple[float, float, float]:
    """Return the seconds of a step in which gradients are reduced, parameters gathered, and tensor parallelism exchanges.

    With tensor parallelism a rank holds its part of each block, and exchanges it with the ranks that hold the same part.
    """
    if layout.devices == 1:
        return 0.0, 0.0, 0.0
    ways = stage.parallel.tensor_ways
    in_node = min(device.devices_per_node, layout.devices)
    # Neighbours share each matrix, so those that hold the same part are `ways` apart.
    alike = _Group(max(1, layout.devices // ways), max(1, in_node // ways), in_node)
    parameters = count_parameters(config)
    outside = (parameters.embedding + parameters.head) * FP32
    weights = outside + (parameters.total * FP32 - outside) / ways
    learnt = weights if stage.adapter is None else count_adapter(config, stage.adapter) * FP32
    reduced = alike.ring_s(learnt, device)
    if stage.exact:
        return 4 * reduced, 0.0, 0.0  # 8 bytes each, and no sharding
    tensor = 0.0
    if ways > 1:
        # Two all-reduces of a block's output in each pass (Shoeybi et al. 2019, arXiv 1909.08053, section 3).
        tokens = stage.rows_per_example * stage.batch_tokens / layout.devices * ways
        size = tokens * config.hidden * (BF16 if layout.bf16 else FP32)
        neighbours = _Group(ways, min(ways, in_node), in_node)
        tensor = 4 * config.layers * 2 * neighbours.ring_s(size, device)
    if stage.parallel.shard == "none":
        return 2 * reduced, 0.0, tensor
    if stage.parallel.shard == "zero1":
        return reduced, alike.ring_s(weights, device), tensor
    gathered = 2 * layout.micro_steps(stage) * alike.ring_s(weights - outside, device) + alike.ring_s(outside, device)
    return reduced, gathered, tensor
