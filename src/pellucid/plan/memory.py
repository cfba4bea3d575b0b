"""Memory of one training rank, by kind, from shapes alone.

Weights, gradients and moments follow ZeRO (Rajbhandari et al. 2019, arXiv 1910.02054) as FSDP2 does it: `none` keeps everything on
every rank, `zero1` spreads the optimizer's moments, `full` spreads weights and gradients as well; exact sums take eight bytes per
parameter more. Activations count the tensors that one block keeps for its backward pass: in bfloat16, as on GPUs, with attention
that keeps no score matrix (Dao 2023, arXiv 2307.08691); in float32, as on CPUs, with the block attention of `kernels/attention.py`,
which keeps its probabilities: all of them, though with `attention: document` it makes only those inside documents. With activation
checkpointing the blocks keep less, and the one that is being computed again keeps everything for that time (Chen et al. 2016, arXiv
1604.06174, section 3; Korthikanti et al. 2022, arXiv 2205.05198, section 5, counts both ways for a GPT).

Where a step is one micro-batch, gradients come as activations go, so that the two are never all there at once. On a CPU the C
library leaves holes between tensors of different lives; how much is measured (`benchmarks/forecasts.json`), not derived.
"""

from typing import Any, Literal, get_args

from pellucid.plan.parameters import ParameterCount, count_adapter, count_parameters, matrix_shapes
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.tuning import AdapterConfig

__all__ = ["SHARDINGS", "activation_bytes", "rank_memory"]

Checkpointing = Literal["none", "block", "selective"]

SHARDINGS = ("none", "zero1", "full")
FP32 = 4
BF16 = 2
# Logits are made in chunks of so many positions, one at a time, in float32 beside their form in bf16 (`train/loss.py`).
LOGITS_CHUNK_ROWS = {"cpu": 512, "cuda": 2048}

# Bytes of a process over those of its tensors: what the C library's heap loses where short-lived and long-lived tensors alternate.
HEAP: dict[str, float] = {"none": 1.18, "selective": 1.22, "block": 1.42}

# What a CPU's process takes around its steps: what oneDNN compiles and the like, and so often a chunk's logits, the largest buffer
# that comes and goes: for what every stage does, for samples, and for tasks that are asked on the way. Measured in whole runs.
OVERHEAD_BYTES, OVERHEAD_CHUNKS, SAMPLES_CHUNKS, CURVES_CHUNKS = 24 * 2**20, 2, 3, 3

# Block attention on a CPU: positions of a block, and the longest sequence that it is used for (`kernels/attention.py`).
ATTENTION_BLOCK_TOKENS = 64
BLOCK_ATTENTION_UP_TO_TOKENS = 2048


def activation_bytes(
    config: ModelConfig,
    tokens: int,
    *,
    seq_tokens: int,
    bf16: bool,
    checkpointing: Checkpointing = "none",
    adapter: AdapterConfig | None = None,
) -> int:
    """Return the most bytes that a pass over `tokens` positions in sequences of `seq_tokens` keeps for backward, less the loss.

    `block` keeps each block's input. `selective` also keeps the outputs of a block's linear layers (2·D + (H + 2·K)·C + 2·F, in the
    compute type), and what attention read where a fused operator computes it. The last block is the first to be computed again, and
    while it is, it holds what it would without checkpointing; the others hold what they kept. With an adapter, what A makes of its
    input is kept as well; `selective` keeps what each of an adapted matrix's three products returns.
    """
    compute = BF16 if bf16 else FP32
    frozen = adapter is not None
    whole = kept = _block_bytes(config, seq_tokens, bf16, frozen)
    # A frozen embedding's output has no gradient, so the first norm does not keep it.
    first = config.hidden * FP32 if frozen and checkpointing == "none" else 0
    if checkpointing != "none":
        kept = config.hidden * FP32
    if checkpointing == "selective":
        kept += (3 * config.hidden + 2 * config.kv_heads * config.head_channels + 2 * config.mlp_hidden) * compute
        if not _in_blocks(seq_tokens, bf16):
            kept += config.hidden * compute + config.heads * FP32
    if adapter is not None:
        outputs = [shape[0] for target, shape in matrix_shapes(config).items() if target in adapter.targets]
        inner = adapter.rank * len(outputs) * compute
        whole += inner
        kept += {"none": inner, "block": 0, "selective": inner + sum(outputs) * compute}[checkpointing]
    last_norm = config.hidden * (FP32 + compute)
    if config.norm == "rmsnorm" and not bf16 and not frozen:
        last_norm += config.hidden * FP32
    return tokens * ((config.layers - 1) * kept + whole + last_norm - first)


def _in_blocks(seq_tokens: int, bf16: bool) -> bool:
    return not bf16 and seq_tokens <= BLOCK_ATTENTION_UP_TO_TOKENS and seq_tokens % ATTENTION_BLOCK_TOKENS == 0


def _block_bytes(config: ModelConfig, seq_tokens: int, bf16: bool, frozen: bool) -> int:
    """Return the bytes per token that one block keeps without checkpointing.

    The residual stream before each norm (2·D, float32); both norms' outputs, queries, keys, values, and what attention read
    (3·D + (H + 2·K)·C); gate, silu(gate), up and their product (4·F), in the compute type. `frozen` norms need nothing for a
    gradient of their own.
    """
    compute = BF16 if bf16 else FP32
    heads = (config.heads + 2 * config.kv_heads) * config.head_channels
    block = 2 * config.hidden * FP32 + (3 * config.hidden + heads + 4 * config.mlp_hidden) * compute
    if config.norm == "rmsnorm" and not bf16 and not frozen:
        # Without a fused kernel, as on a CPU, the normalised input is kept beside the input.
        block += 2 * config.hidden * FP32
    # log-sum-exp per head, mean and deviation per norm
    block += config.heads * FP32 + 2 * 2 * FP32
    if config.qk_norm:
        # The norms' inputs and, where no fused kernel multiplies with the weight, their normalised form; both in float32.
        copies = 1 if frozen or (config.norm == "rmsnorm" and bf16) else 2
        block += (config.heads + config.kv_heads) * (copies * config.head_channels + 2) * FP32
    if _in_blocks(seq_tokens, bf16):
        # The lower triangle of each head's probabilities, in blocks, and keys and values repeated for grouped queries.
        block += config.heads * (seq_tokens + ATTENTION_BLOCK_TOKENS) // 2 * FP32
        block += 2 * (config.heads - config.kv_heads) * config.head_channels * FP32
    elif not bf16:
        # A CPU's fused attention returns heads outermost, so that the output's linear layer keeps a copy.
        block += config.hidden * FP32
    return block


def rank_memory(config: ModelConfig, stage: TrainStageConfig, devices: int, *, bf16: bool) -> dict[str, dict[str, Any]]:
    """Return bytes for one rank, by sharding, then by kind: weights, gradients, moments, activations, loss, and the total.

    `reused` is what of the gradients takes the place of activations: the total is the sum of the kinds less that. Only a CPU has
    `heap`, what its allocator loses, `checkpoint`, the copy from which checkpoints are written while training goes on (that of a
    GPU lies in its host's memory), and `overhead`: what a run takes around its steps. Checkpoints, samples and scores leave small
    things in what steps had freed, until the largest buffer that comes and goes, a chunk's logits, finds no room there.

    Activations are as the stage's `activation_checkpointing` says; `total_none`, `total_selective` and `total_checkpointed` are
    what the total would be with `none`, `selective` and `block`. Weights, gradients and moments are float32 (mixed precision keeps
    float32 masters); with bf16 the compute copies of the weights count as weights. Of a stage with an adapter only that has
    gradients and moments. A pair is two sequences.
    """
    parameters, adapter = count_parameters(config), stage.adapter
    tokens = stage.micro_seqs * stage.seq_tokens * stage.rows_per_example
    learnt = parameters.total if adapter is None else count_adapter(config, adapter)
    weights = parameters.total * FP32 if adapter is None else _adapted_bytes(config, parameters, adapter)
    # Autocast keeps copies of what has a gradient; of frozen matrices there is one at a time, the head's the largest.
    copies = (parameters.multiplied if adapter is None else config.vocab_tokens * config.hidden) * BF16 if bf16 else 0
    gradients, moments = learnt * FP32, learnt * 2 * FP32
    if stage.optimizer.kind == "muon":
        moments -= parameters.block_matrices * FP32
    compute = BF16 if bf16 else FP32
    table = config.vocab_tokens * config.hidden
    # The loss makes its gradients on the way forward: the head's in float32, the hidden states' in the compute type.
    chunk = min(tokens, LOGITS_CHUNK_ROWS["cuda" if bf16 else "cpu"])
    logits = chunk * config.vocab_tokens * (FP32 + BF16 if bf16 else FP32)
    # In bf16 a chunk's part of the head's gradient is made before it is added.
    logits += table * BF16 if bf16 and adapter is None else 0
    loss = logits + tokens * config.hidden * compute + (table * FP32 if adapter is None else 0)
    by_mode = {
        mode: activation_bytes(config, tokens, seq_tokens=stage.seq_tokens, bf16=bf16, checkpointing=mode, adapter=adapter)
        for mode in get_args(Checkpointing)
    }
    table_of_kinds = {}
    accumulates = stage.batch_seqs > stage.micro_seqs * max(1, devices // stage.parallel.tensor_ways)
    outside = (parameters.embedding + parameters.head) * FP32
    block = (weights - outside) // config.layers
    held_by_fsdp = {
        # Each rank keeps its own part beside the gathered parameters, of which `full` has the block in use, the next one and what
        # belongs to no block. Gradients that are not reduced before the last micro-batch add up whole on every rank.
        "none": (2 * weights, gradients),
        "zero1": (weights + weights // devices, gradients),
        "full": (weights // devices + outside + 2 * block, gradients if accumulates else gradients // devices + outside + block),
    }
    sums = 2 * gradients if stage.exact else 0
    chunks = OVERHEAD_CHUNKS + (SAMPLES_CHUNKS if stage.samples.every_steps else 0) + (CURVES_CHUNKS if stage.curves else 0)
    copied = 0 if bf16 else 2 if stage.checkpoint.memory_every_steps else 1
    for sharding in SHARDINGS:
        alone = devices == 1 or stage.exact
        held_weights, held_gradients = (weights, gradients) if alone else held_by_fsdp[sharding]
        held_moments = moments // (devices if sharding != "none" else 1)
        kinds = {
            "weights": held_weights + copies,
            "gradients": held_gradients + sums,
            "moments": held_moments,
            "loss": loss,
        }
        once = {
            "checkpoint": copied * (learnt * FP32 // (1 if alone or sharding == "none" else devices) + held_moments),
            "overhead": 0 if bf16 else OVERHEAD_BYTES + chunks * logits,
        }
        rows = {
            mode: _total(kinds, once, by_mode[mode], held_gradients if alone and not accumulates else 0, 1 if bf16 else HEAP[mode])
            for mode in get_args(Checkpointing)
        }
        table_of_kinds[sharding] = {
            **rows[stage.activation_checkpointing],
            "total_none": rows["none"]["total"],
            "total_selective": rows["selective"]["total"],
            "total_checkpointed": rows["block"]["total"],
        }
    return table_of_kinds


def _total(kinds: dict[str, int], once: dict[str, int], activations: int, coming_gradients: int, heap: float) -> dict[str, int]:
    """Return the kinds with activations and their total; `coming_gradients` take the place of activations and loss.

    What is taken `once` stays where it is, and leaves no holes.
    """
    reused = min(coming_gradients, activations + kinds["loss"])
    tensors = sum(kinds.values()) + activations - reused
    lost = round(tensors * (heap - 1))
    total = tensors + lost + sum(once.values())
    return {**kinds, **once, "activations": activations, "heap": lost, "reused": reused, "total": total}


def _adapted_bytes(config: ModelConfig, parameters: ParameterCount, adapter: AdapterConfig) -> int:
    """Return the bytes of weights and adapters: int8 has a byte for each number and a float32 for each row, nf4 half a byte and a
    float32 for each 64 numbers (`adapters/quantized.py`)."""
    held = (parameters.total + count_adapter(config, adapter)) * FP32
    for target, (outputs, inputs) in matrix_shapes(config).items():
        if target in adapter.targets and adapter.quantize != "none":
            count = outputs * inputs
            few = count + outputs * FP32 if adapter.quantize == "int8" else -(-count // 2) + -(-count // 64) * FP32
            held -= config.layers * (count * FP32 - few)
    return held
