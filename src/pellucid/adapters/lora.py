"""LoRA (Hu et al. 2021, arXiv 2106.09685): beside a frozen matrix W the product of two small ones is learnt, W + s·B·A.

B begins at zero, so that an adapted model begins as the one it was made of. A checkpoint holds everything: the frozen tensors under
the names that they had, or under those of `quantized.PARTS`, and `lora_a` and `lora_b` beside them.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.adapters.quantized import PARTS, Kind, dequantize, quantize
from pellucid.core.seeds import derive_seed
from pellucid.kernels.linear import Linear, product
from pellucid.model.decoder import Decoder
from pellucid.recipe.tuning import AdapterConfig

__all__ = [
    "MODULES",
    "LoraLinear",
    "adapter_scale",
    "add_adapters",
    "base_state",
    "is_adapted",
    "merge_adapters",
    "merged_state",
    "trainable_parameters",
]

MODULES = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "output": "attention.output",
    "gate": "mlp.gate",
    "up": "mlp.up",
    "down": "mlp.down",
}
"""The module of a block that a target of the recipe names."""


def adapter_scale(config: AdapterConfig) -> float:
    """Return s, by which the product B·A is scaled."""
    return config.alpha / (math.sqrt(config.rank) if config.rank_stabilized else config.rank)


class LoraLinear(nn.Module):
    """x ↦ W·x + b + s·B·(A·x), W and b frozen, in place of a module with W and b. A means nothing until `add_adapters` draws it."""

    def __init__(self, base: nn.Linear, config: AdapterConfig) -> None:
        super().__init__()
        self.kind: Kind = config.quantize
        self.shape = (base.out_features, base.in_features)
        self.scale = adapter_scale(config)
        self.bias = base.bias
        if self.kind == "none":
            self.weight = base.weight
        else:
            for name, part in zip(PARTS[self.kind], quantize(base.weight.detach(), self.kind), strict=True):
                self.register_buffer(name, part)
        self.requires_grad_(False)
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.empty(config.rank, base.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, config.rank, device=device))

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Return x_BTO, in the type that autocast says."""
        if torch.is_autocast_enabled(x_BTI.device.type):
            x_BTI = x_BTI.to(torch.get_autocast_dtype(x_BTI.device.type))
        x_NI = x_BTI.reshape(-1, x_BTI.shape[-1])
        frozen = (self.kind, self.shape, self.scale)
        parts = [getattr(self, name) for name in PARTS[self.kind]]
        y_NO: Tensor = _Adapted.apply(x_NI, self.lora_a, self.lora_b, self.bias, frozen, *parts)  # type: ignore[no-untyped-call]
        return y_NO.view(*x_BTI.shape[:-1], -1)


class _Adapted(torch.autograd.Function):
    """One function instead of three, so that a matrix that was dequantised is not kept for backward but dequantised again there.

    The frozen matrix has no gradient, which saves a third of its work.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        a_RI: Tensor,
        b_OR: Tensor,
        bias_O: Tensor | None,
        frozen: tuple[Kind, tuple[int, int], float],
        *parts: Tensor,
    ) -> Tensor:
        kind, shape, scale = ctx.frozen = frozen
        dtype = x_NI.dtype
        y_NO = product(x_NI, dequantize(kind, parts, shape).to(dtype), None if bias_O is None else bias_O.to(dtype))
        u_NR = product(x_NI, a_RI.to(dtype)) * scale
        ctx.save_for_backward(x_NI, u_NR, a_RI, b_OR, *parts)
        # Not in place: selective activation checkpointing keeps what the first product returned.
        return torch.addmm(y_NO, u_NR, b_OR.to(dtype).T)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, u_NR, a_RI, b_OR, *parts = ctx.saved_tensors
        dy_NO, (kind, shape, scale) = grads[0], ctx.frozen
        dtype = dy_NO.dtype
        du_NR = product(dy_NO, b_OR.to(dtype).T) * scale
        dx_NI = None
        if ctx.needs_input_grad[0]:
            dx_NI = product(dy_NO, dequantize(kind, tuple(parts), shape).to(dtype).T).addmm_(du_NR, a_RI.to(dtype))
        da_RI, db_OR = (du_NR.T @ x_NI).to(a_RI.dtype), (dy_NO.T @ u_NR).to(b_OR.dtype)
        return dx_NI, da_RI, db_OR, None, None, *(None for _ in parts)


def add_adapters(model: Decoder, config: AdapterConfig, seed: int) -> None:
    """Freeze `model` in place and put a `LoraLinear` in the place of each target of each block.

    A is uniform within ±1/sqrt(inputs) (what peft draws by `kaiming_uniform_` with a = √5), from a seed of its own, made of `seed`
    and its name; B is zero. Comes after the weights, which are quantised here where the config says so, and before optimizer and
    sharding.
    """
    assert not is_adapted(model), "the model has adapters already"
    model.requires_grad_(False)
    for number, block in enumerate(model.blocks):
        for target in config.targets:
            owner, _, name = MODULES[target].partition(".")
            part = getattr(block, owner)
            adapted = LoraLinear(getattr(part, name), config)
            setattr(part, name, adapted)
            generator = torch.Generator().manual_seed(derive_seed(seed, "init", f"blocks.{number}.{MODULES[target]}.lora_a"))
            bound = 1 / math.sqrt(adapted.shape[1])
            with torch.no_grad():
                adapted.lora_a.copy_(torch.empty(adapted.lora_a.shape).uniform_(-bound, bound, generator=generator))


def merge_adapters(model: Decoder) -> None:
    """Make a plain decoder of an adapted one, in place, all of it to be trained again: each matrix is W + s·B·A, in float32."""
    for owner, name, adapted in list(_adapted(model)):
        parts = tuple(getattr(adapted, part) for part in PARTS[adapted.kind])
        plain = Linear(adapted.shape[1], adapted.shape[0], bias=adapted.bias is not None, device="meta")
        base_OI = dequantize(adapted.kind, parts, adapted.shape)
        plain.weight = nn.Parameter(_merged(base_OI, adapted.lora_a, adapted.lora_b, adapted.scale))
        plain.bias = adapted.bias
        setattr(owner, name, plain)
    model.requires_grad_(True)


def is_adapted(model: nn.Module) -> bool:
    """Tell whether a model has adapters."""
    return any(isinstance(module, LoraLinear) for module in model.modules())


def trainable_parameters(model: nn.Module) -> int:
    """Return how many numbers of a model are learnt."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def base_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of the decoder under the adapters, what was quantised as float32 matrices, from an adapted one's."""
    return dict(_base(state))


def merged_state(state: Mapping[str, Tensor], config: AdapterConfig) -> dict[str, Tensor]:
    """Return the state dict of the plain decoder that `merge_adapters` would make, without any model."""
    plain = base_state(state)
    for module in _modules(state):
        base_OI, a_RI, b_OR = (
            source[f"{module}.{part}"] for source, part in ((plain, "weight"), (state, "lora_a"), (state, "lora_b"))
        )
        plain[f"{module}.weight"] = _merged(base_OI, a_RI, b_OR, adapter_scale(config))
    return plain


@torch.no_grad()
def _merged(base_OI: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    # The order of operations is peft's, so that the bits are.
    return base_OI + (b_OR @ a_RI) * scale


def _adapted(model: nn.Module) -> Iterator[tuple[nn.Module, str, LoraLinear]]:
    for owner in model.modules():
        for name, module in owner.named_children():
            if isinstance(module, LoraLinear):
                yield owner, name, module


def _modules(state: Mapping[str, Tensor]) -> list[str]:
    """The names of adapted modules in a state dict."""
    return [name.removesuffix(".lora_a") for name in state if name.endswith(".lora_a")]


def _base(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    kinds: dict[str, Kind] = {PARTS[kind][0]: kind for kind in ("int8", "nf4")}
    scales = {PARTS[kind][1] for kind in ("int8", "nf4")}
    for name, tensor in state.items():
        module, _, part = name.rpartition(".")
        if part in kinds:
            parts = tuple(state[f"{module}.{each}"] for each in PARTS[kinds[part]])
            shape = (len(state[f"{module}.lora_b"]), state[f"{module}.lora_a"].shape[1])
            yield f"{module}.weight", dequantize(kinds[part], parts, shape)
        elif part not in {"lora_a", "lora_b", *scales}:
            yield name, tensor
