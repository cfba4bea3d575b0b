"""A folder of OpenVINO → `ReadBack`: the constants of the graph by their names, and what the graph itself makes of them.

The graph is read, not compiled. From a constant its way is followed to where it is used: less a zero point, times a scale for
each group, in the order in which the graph has it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.export.no_telemetry import without_openvino_telemetry
from pellucid.export.openvino import GRAPH
from pellucid.export.read_back import ReadBack, told
from pellucid.export.runtimes.strangers import check_folder
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

__all__ = ["read_back_openvino"]

_TYPES = {"f32": "float32", "f16": "float16", "u8": "int8", "u4": "int4"}
_NOT_WEIGHTS = ("i64", "i32", "boolean")
"""Types of shapes, places and axes."""

_TABLES = ("rotary_cos_TR", "rotary_sin_TR")
# float16 rounds them by half a step below one.
_TABLE_LIMIT = 5e-4
_COMPRESSED = "_compressed"
"""What OpenVINO appends to the name of a constant that it has put into 16 bits."""


def read_back_openvino(path: Path, config: ModelConfig) -> ReadBack:
    """Return the weights as the graph computes them. `config` is the checkpoint's.

    A vector that the graph has not is what it computes without one: ones for a norm's weights, zeros for biases. The shape is the
    checkpoint's but for what no weight shows: key heads, the norms' epsilon, and the rows of the rotary tables.
    Raises `MissingExtraError` without openvino, and `ArtifactError` where the files cannot be read, use a weight otherwise than a
    decoder does, hold numbers that are no weight of this shape, or have other rotary tables.
    """
    without_openvino_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "reading an OpenVINO export back") from error
    if not (path / GRAPH).is_file():
        raise ArtifactError(f"{path} is no OpenVINO export: {GRAPH} is missing")
    check_folder(path)
    try:
        graph = openvino.Core().read_model(path / GRAPH)
        return _Constants(path, graph.get_ops()).read_back(config)
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path / GRAPH} cannot be read back: {error}") from error


class _Constants:
    """The constants of a graph: those of our names, and those that belong to one of them."""

    def __init__(self, path: Path, nodes: Iterable[Any]) -> None:
        self._path, self._nodes = path, list(nodes)
        self._used: set[str] = set()

    def read_back(self, config: ModelConfig) -> ReadBack:
        shapes = _shapes(config)
        tensors: dict[str, Tensor] = {}
        types: dict[str, str] = {}
        tables: dict[str, npt.NDArray[np.float32]] = {}
        constants = [node for node in self._nodes if node.get_type_name() == "Constant"]
        for node in constants:
            name = node.get_friendly_name().removesuffix(_COMPRESSED)
            if name in tensors or name in tables:
                raise ArtifactError(f"{self._path / GRAPH} has two constants of the name {name}")
            if name in _TABLES:
                tables[name] = self._dense(node)
            elif name in shapes:
                array = self._dense(node)
                # A vector stands in the graph as one row of several axes.
                vector = array.reshape(-1) if len(shapes[name]) == 1 else array
                tensors[name], types[name] = torch.from_numpy(np.array(vector)), _kind(node)
        self._check_all_used(constants, {*tensors, *tables})
        _check_tables(self._path, tables, config)
        for name in shapes.keys() - tensors.keys():
            # Of a norm, a bias that is left out counts as zeros anyway.
            if len(shapes[name]) == 1 and not name.endswith("norm.bias"):
                tensors[name] = torch.ones(shapes[name]) if name.endswith("norm.weight") else torch.zeros(shapes[name])
                types[name] = "float32"
        return ReadBack(told(self._described(config, tables), config, ()), tensors, types)

    def _dense(self, constant: Any) -> npt.NDArray[np.float32]:
        """Return what reaches the operation that uses a constant: [rows, width] of a matrix."""
        self._used.add(constant.get_friendly_name())
        node, value = constant, _values(constant)
        while True:
            users = [(port.get_node(), port.get_index()) for port in node.output(0).get_target_inputs()]
            parts = [self._part(user, index) for user, index in users]
            if all(part is None for part in parts):
                break
            if len(users) > 1:
                raise ArtifactError(f"{self._path / GRAPH}: {constant.get_friendly_name()} is used in two ways")
            node = users[0][0]
            value = _applied(node.get_type_name(), value, parts[0])
        for user, index in users:
            if not _is_use(user, index):
                raise ArtifactError(f"{self._path / GRAPH}: {constant.get_friendly_name()} goes into {user.get_type_name()}")
        return value.reshape(tuple(node.get_output_shape(0)))

    def _part(self, user: Any, index: int) -> npt.NDArray[Any] | None:
        """Return the other operand of a step that makes numbers dense, an empty array for one that has none; None for any other."""
        kind = user.get_type_name()
        if kind == "Convert":
            return np.empty(0) if user.get_element_type().get_type_name() in ("f16", "f32") else None
        if kind not in ("Subtract", "Multiply", "Reshape") or index != 0:
            return None
        other = user.input_value(1).get_node()
        if other.get_type_name() == "Convert":
            other = other.input_value(0).get_node()
        if other.get_type_name() != "Constant":
            return None
        self._used.add(other.get_friendly_name())
        return np.empty(0) if kind == "Reshape" else _values(other)

    def _check_all_used(self, constants: Iterable[Any], names: set[str]) -> None:
        for node in constants:
            name = node.get_friendly_name()
            is_known = name in self._used or name.removesuffix(_COMPRESSED) in names
            is_scalar = np.prod(node.get_output_shape(0)) <= 1
            if not is_known and not is_scalar and node.get_element_type().get_type_name() not in _NOT_WEIGHTS:
                raise ArtifactError(f"{self._path / GRAPH}: {name} holds numbers, and is no weight of this model")

    def _described(self, config: ModelConfig, tables: Mapping[str, npt.NDArray[np.float32]]) -> ModelConfig:
        """The checkpoint's shape but for what the graph says beside its weights."""
        found: dict[str, Any] = {}
        states = [node.get_output_partial_shape(0) for node in self._nodes if node.get_type_name() == "ReadValue"]
        heads = {int(shape[1].get_length()) for shape in states}
        found["layers"] = len(states) // 2
        # Where they disagree, that which is not the checkpoint's is told.
        found["kv_heads"] = max(heads, key=lambda value: value != config.kv_heads, default=0)
        epsilons = {_epsilon(node) for node in self._nodes} - {None}
        found["norm_eps"] = max(
            epsilons, key=lambda value: np.float32(value) != np.float32(config.norm_eps), default=config.norm_eps
        )
        if tables:
            found["context_tokens"] = len(next(iter(tables.values())))
        return config.model_copy(update=found)


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """All weights that such a decoder may have: a head that is written out and biases of norms among them."""
    with torch.device("meta"):
        model = Decoder(config.model_copy(update={"tied_head": False, "norm_bias": config.norm == "layernorm"}))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _kind(node: Any) -> str:
    return _TYPES[node.get_element_type().get_type_name()]


def _values(node: Any) -> npt.NDArray[np.float32]:
    """Return a constant's numbers in float32."""
    kind = node.get_element_type().get_type_name()
    if kind not in _TYPES:
        raise ArtifactError(f"{node.get_friendly_name()} has type {kind}; read back are {', '.join(_TYPES)}")
    shape = tuple(node.get_output_shape(0))
    if kind != "u4":
        return np.asarray(node.data, dtype=np.float32).reshape(shape)
    # Two to a byte, the first in the lower half.
    both: npt.NDArray[np.uint8] = np.stack([node.data & 15, node.data >> 4], -1).reshape(-1)
    return both[: int(np.prod(shape))].reshape(shape).astype(np.float32)


def _applied(kind: str, value: npt.NDArray[np.float32], part: npt.NDArray[Any] | None) -> npt.NDArray[np.float32]:
    if part is None or kind in ("Convert", "Reshape"):
        return value
    found: npt.NDArray[np.float32] = value - part if kind == "Subtract" else value * part
    if found.shape != value.shape:
        raise ValueError(f"a scale of shape {part.shape} for numbers of shape {value.shape}")
    return found


def _is_use(user: Any, index: int) -> bool:
    """If a decoder uses a weight like this: a table that is looked up, a matrix of rows, a vector added or multiplied."""
    kind = user.get_type_name()
    if kind == "MatMul":
        told_ = user.get_attributes()
        return index == 1 and bool(told_["transpose_b"]) and not told_["transpose_a"]
    return (kind == "Gather" and index == 0) or kind in ("Add", "Multiply")


def _epsilon(node: Any) -> float | None:
    """What a norm adds to the variance; None for what is no norm."""
    if node.get_type_name() == "MVN":
        return float(node.get_attributes()["eps"])
    if node.get_type_name() != "Add":
        return None
    inputs = [node.input_value(place).get_node() for place in (0, 1)]
    if inputs[0].get_type_name() != "ReduceMean":
        return None
    constant = inputs[1].input_value(0).get_node() if inputs[1].get_type_name() == "Convert" else inputs[1]
    return float(_values(constant).reshape(-1)[0])


def _check_tables(path: Path, tables: Mapping[str, npt.NDArray[np.float32]], config: ModelConfig) -> None:
    """Raise `ArtifactError` where the graph rotates otherwise than this shape does."""
    if not config.rotary_channels:
        return
    # One small layer has the same tables.
    small = {"layers": 1, "vocab_tokens": 1, "mlp_hidden": 1, "hidden": config.head_channels, "heads": 1, "kv_heads": 1}
    model = Decoder(config.model_copy(update=small))
    for name in _TABLES:
        ours, theirs = getattr(model, name).numpy(), tables.get(name)
        if theirs is None or theirs.shape != ours.shape or not np.abs(theirs - ours).max() <= _TABLE_LIMIT:
            raise ArtifactError(
                f"{path / GRAPH}: {name} is not the table of this shape: rotary_base, rotary_frac or context differ"
            )
