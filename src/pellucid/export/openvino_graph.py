"""The decoder as a graph of OpenVINO that keeps keys and values itself, in the form its language-model pipelines expect.

Inputs: `input_ids` and `position_ids` [B, T], `attention_mask` [B, S] over all positions so far, `beam_idx` [B], which of the
sequences before each one goes on. Output: `logits` [B, T, V]. The state begins empty and grows by T at each call.
"""

import hashlib
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pellucid.export.no_telemetry import without_openvino_telemetry
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

__all__ = ["stateful_graph"]

_INPUTS = ("input_ids", "attention_mask", "position_ids", "beam_idx")


def stateful_graph(model: Decoder) -> Any:
    """Return the model as an `openvino.Model` in float32, with state; its weights and rotary tables have our names."""
    without_openvino_telemetry()
    import openvino
    from openvino.passes import MakeStateful, Manager

    program = _program(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        graph = openvino.convert_model(program)
    del program
    _name_weights(graph, model)
    names = [f"{part}.{layer}" for layer in range(model.config.layers) for part in ("key", "value")]
    for port, name in zip(graph.inputs, (*_INPUTS, *(f"past.{name}" for name in names)), strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, ("logits", *(f"present.{name}" for name in names)), strict=True):
        port.get_tensor().set_names({name})
    past = openvino.PartialShape([-1, model.config.kv_heads, -1, model.config.head_channels])
    for port in graph.inputs[len(_INPUTS) :]:
        port.get_node().set_partial_shape(past)
    graph.validate_nodes_and_infer_types()
    manager = Manager()
    manager.register_pass(MakeStateful({f"past.{name}": f"present.{name}" for name in names}))
    manager.run_passes(graph)
    _begin_empty(graph, model.config)
    return graph


def _name_weights(graph: Any, model: Decoder) -> None:
    """Give every weight and table the name that it has in the model; by its values, for the conversion numbers them through.

    A norm's weights that are all ones, and biases that are all zeros, the conversion leaves out: the graph has no constant of them.
    """
    names: dict[bytes, list[str]] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        names.setdefault(_digest(tensor.detach().numpy()), []).append(name)
    for node in graph.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32" and node.data.size > 1:
            equal = names.get(_digest(node.data), [])
            if equal:
                node.set_friendly_name(equal.pop(0))


def _digest(array: npt.NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def _begin_empty(graph: Any, config: ModelConfig) -> None:
    """Let the state of a new sequence hold no position, for as many sequences as there are in `input_ids`."""
    from openvino import opset13 as ops

    shape_2 = ops.shape_of(graph.input("input_ids"), output_type="i64")
    batch_1 = ops.gather(shape_2, ops.constant(np.array([0])), ops.constant(np.array(0)))
    empty_4 = ops.concat([batch_1, ops.constant(np.array([config.kv_heads, 0, config.head_channels]))], axis=0)
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([ops.broadcast(ops.constant(np.float32(0)), empty_4)])
    graph.validate_nodes_and_infer_types()


def _program(model: Decoder) -> torch.export.ExportedProgram:
    config, batch, past, tokens = model.config, 2, 3, 5
    held = torch.zeros(batch, config.kv_heads, past, config.head_channels)
    positions_BT = torch.arange(past, past + tokens).expand(batch, tokens).contiguous()
    example = (
        torch.zeros(batch, tokens, dtype=torch.long),
        torch.ones(batch, past + tokens, dtype=torch.long),
        positions_BT,
        torch.arange(batch, dtype=torch.int32),
        *(held.clone() for _ in range(2 * config.layers)),
    )
    free = torch.export.Dim.DYNAMIC
    both = {0: free, 1: free}
    shapes = {
        **dict.fromkeys(_INPUTS[:3], both),
        "beam_idx": {0: free},
        "past": tuple({0: free, 2: free} for _ in range(2 * config.layers)),
    }
    was_training = model.training
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.export.export(_Step(model).eval(), example, dynamic_shapes=shapes, strict=False)
    model.train(was_training)
    return program


class _Step(nn.Module):
    """One call of the graph as a function: what is held goes in and comes out."""

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, beam_idx: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        tokens, so_far = input_ids.shape[1], attention_mask.shape[1]
        key_S, query_T1 = torch.arange(so_far), torch.arange(so_far - tokens, so_far)[:, None]
        # Padding sees itself: a softmax over nothing would be no number, and spread from there.
        shown_B1TS = (attention_mask[:, None, None] > 0) | (key_S == query_T1)
        cache = _Held(self.model.config, beam_idx, past)
        x_BTD = self.model(input_ids, position_ids, cache=cache, mask_B1TS=shown_B1TS & (key_S <= query_T1))
        return self.model.logits(x_BTD), *cache.present


class _Held(KVCache):
    """Keys and values as the graph's inputs, put in front of the new ones.

    They come back once for each query head, in the form that OpenVINO's attention recognises as grouped queries.
    """

    def __init__(self, config: ModelConfig, beam_idx: Tensor, past: tuple[Tensor, ...]) -> None:
        self._groups, self._beam_B, self._past = config.heads // config.kv_heads, beam_idx, past
        self.present: list[Tensor] = []
        self.length = 0

    def check_room(self, tokens: int) -> None:
        """Nothing to check: the state grows."""

    def advance(self, tokens: int) -> None:
        """Nothing to count: the positions are given."""

    def extend(self, layer: int, k_BKTC: Tensor, v_BKTC: Tensor) -> tuple[Tensor, Tensor]:
        """Return all keys and all values so far, for every query head."""
        held = self._past[2 * layer : 2 * layer + 2]
        self.present += [
            torch.cat((t.index_select(0, self._beam_B), new), 2) for t, new in zip(held, (k_BKTC, v_BKTC), strict=True)
        ]
        k_BHSC, v_BHSC = (self._repeated(t) for t in self.present[-2:])
        return k_BHSC, v_BHSC

    def _repeated(self, x_BKSC: Tensor) -> Tensor:
        if self._groups == 1:
            return x_BKSC
        batch, heads, length, channels = x_BKSC.shape
        x_BKGSC = x_BKSC[:, :, None].expand(batch, heads, self._groups, length, channels)
        return x_BKGSC.reshape(batch, heads * self._groups, length, channels)
