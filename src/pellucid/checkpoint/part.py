"""One rank's part of the training state as a stream of bytes: a safetensors file that is nowhere whole but on its way out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from pellucid.checkpoint.files import Targets, place_tensor, split_state

__all__ = ["Part", "Snapshot", "local_state", "read_part"]

_NAMES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


class Part:
    """Tensors on the CPU and strings beside them, about to be written. `bytes` is the length of the file."""

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        # The widest elements come first, so that every tensor begins at a multiple of its element's size.
        self._tensors = sorted(tensors.items(), key=lambda item: -item[1].element_size())
        header: dict[str, object] = {"__metadata__": dict(metadata)}
        end = 0
        for name, tensor in self._tensors:
            begin, end = end, end + tensor.nbytes
            header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        text = orjson.dumps(header)
        text += b" " * (-len(text) % 8)
        self._header = len(text).to_bytes(8, "little") + text
        self.bytes = len(self._header) + end

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yield the file in pieces of `size` bytes (the last is shorter), uint8, each in the memory of the one before."""
        chunk = torch.empty(min(size, self.bytes), dtype=torch.uint8)
        # numpy copies in this thread alone; torch would start a second set of threads beside the ones that train.
        room, filled = chunk.numpy(), 0
        header = torch.frombuffer(bytearray(self._header), dtype=torch.uint8)
        for tensor in (header, *(tensor for _, tensor in self._tensors)):
            left = tensor.detach().reshape(-1).view(torch.uint8).numpy()
            while len(left):
                count = min(len(left), len(room) - filled)
                room[filled : filled + count] = left[:count]
                filled, left = filled + count, left[count:]
                if filled == len(room):
                    yield chunk
                    filled = 0
        if filled:
            yield chunk[:filled]


def read_part(data: Tensor) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the strings of a part's bytes (uint8); the tensors are views of `data`."""
    begin = 8 + int.from_bytes(data[:8].numpy().tobytes(), "little")
    header = orjson.loads(data[8:begin].numpy().tobytes())
    metadata: dict[str, str] = header.pop("__metadata__")
    tensors = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        tensors[name] = data[begin + first : begin + last].view(_TYPES[about["dtype"]]).view(about["shape"])
    return tensors, metadata


def local_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return this rank's part of a state (see `save_checkpoint`): tensors by slash-joined name, and strings with all the rest."""
    sections, plain = split_state(state)
    tensors = {f"{section}/{name}": tensor for section, named in sections.items() for name, tensor in named.items()}
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    metadata = {"plain": orjson.dumps(plain).decode(), "shapes": orjson.dumps(shapes).decode()}
    return {name: _local(tensor) for name, tensor in tensors.items()}, metadata


@dataclass(frozen=True)
class Snapshot:
    """This rank's part of the state after `step`, as a part's bytes (uint8)."""

    step: int
    data: Tensor

    def state(self, targets: Targets) -> dict[str, Any]:
        """Return the state, each tensor in what `targets` gives for it; of a DTensor the local part is filled."""
        tensors, metadata = read_part(self.data)
        state: dict[str, Any] = orjson.loads(metadata["plain"])
        shapes = orjson.loads(metadata["shapes"])
        with torch.no_grad():
            for name, kept in tensors.items():
                section, _, rest = name.partition("/")
                target = targets(section, rest, torch.Size(shapes[name]), kept.dtype)
                _local(target).copy_(kept)
                place_tensor(state, name.split("/"), target)
        return state


def _local(tensor: Tensor) -> Tensor:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.detach()
