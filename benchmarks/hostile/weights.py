"""Weights that are not what they say: pickles, headers that ask for more than there is, shards that lie elsewhere."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from hostile.bases import Place, case, edit_json
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


class Payload:
    """Unpickled, it makes the canary: harmless, and a proof that something of the file's own was executed."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self._canary), "w")


def pickled(place: Place, hostile: bool, file: Path, **options: Any) -> None:
    """Write what `torch.load` reads: with a payload, or tensors alone."""
    data = io.BytesIO()
    torch.save({"model": Payload(place.canary) if hostile else torch.zeros(2)}, data, **options)
    file.write_bytes(data.getvalue())


@case("pickle alone: pytorch_model.bin", "hf", "weights", "pytorch_model.bin")
def _(place: Place, hostile: bool) -> None:
    pickled(place, hostile, place.model / "pytorch_model.bin")
    if hostile:
        (place.model / WEIGHTS).unlink()


@case("pickle beside the weights: pytorch_model.bin, consolidated.pth, model.pt", "hf", "weights", refused=False)
def _(place: Place, hostile: bool) -> None:
    for name in ("pytorch_model.bin", "consolidated.00.pth", "model.pt", "training_args.bin", "optimizer.pt"):
        pickled(place, hostile, place.model / name)


@case("pickle called model.safetensors, in a zip", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        pickled(place, hostile, place.model / WEIGHTS)


@case("pickle called model.safetensors, in the old format", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        pickled(place, hostile, place.model / WEIGHTS, _use_new_zipfile_serialization=False)


@case("zip with a path that leads outside, called model.safetensors", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        with zipfile.ZipFile(place.model / WEIGHTS, "w") as archive:
            archive.writestr("../../outside/canary", b"out")
            archive.writestr("archive/data.pkl", pickle.dumps(Payload(place.canary)))


def header(place: Place, hostile: bool, change: Any) -> None:
    """Write the weights' file with another header over the same tensors."""
    file = place.model / WEIGHTS
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    values = json.loads(data[8 : 8 + length])
    if hostile:
        change(values)
    text = json.dumps(values).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def raw_header(place: Place, length: int, text: bytes) -> None:
    (place.model / WEIGHTS).write_bytes(struct.pack("<Q", length) + text)


@case("safetensors: a header of 2^63 bytes", "hf", (*("evaluate", "serve", "init_from"), "model: like", "transformers"), WEIGHTS,
      not_refused=("model: like",))  # fmt: skip
def _(place: Place, hostile: bool) -> None:
    if hostile:
        raw_header(place, 2**63, b'{"a": 1}')


@case("safetensors: a header of 99 MB of names", "hf", ("evaluate", "init_from", "model: like", "read back"), WEIGHTS,
      not_refused=("model: like",))  # fmt: skip
def _(place: Place, hostile: bool) -> None:
    if hostile:
        one = b'"%08d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
        text = b"{" + b",".join(one % number for number in range(99_000_000 // len(one % 0 + b","))) + b"}"
        raw_header(place, len(text), text)


@case("safetensors: a header nested 10^6 deep", "hf", ("evaluate", "init_from", "model: like", "transformers"), WEIGHTS,
      not_refused=("model: like",))  # fmt: skip
def _(place: Place, hostile: bool) -> None:
    if hostile:
        text = b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
        raw_header(place, len(text), text)


@case("safetensors: tensors over one another", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        names = sorted(name for name in values if name.endswith("mlp.up_proj.weight"))
        values[names[0]]["data_offsets"] = values[names[1]]["data_offsets"]

    header(place, hostile, change)


@case("safetensors: offsets past the end", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        values["model.norm.weight"]["data_offsets"] = [2**40, 2**40 + 256]

    header(place, hostile, change)


@case("safetensors: negative offsets on a norm's bias", "hf", ("evaluate", "init_from", "model: like", "read back"), WEIGHTS,
      not_refused=("model: like",))  # fmt: skip
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        values["model.norm.bias"] = {"dtype": "F32", "shape": [64], "data_offsets": [2**40, -(2**40)]}

    header(place, hostile, change)


@case("safetensors: negative shape", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        values["model.norm.weight"]["shape"] = [-64]

    header(place, hostile, change)


@case("safetensors: a shape whose product overflows", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        values["model.norm.weight"]["shape"] = [2**33, 2**33, 64]

    header(place, hostile, change)


@case("safetensors: a type that there is not", "hf", "weights", WEIGHTS)
def _(place: Place, hostile: bool) -> None:
    def change(values: dict[str, Any]) -> None:
        values["model.norm.weight"]["dtype"] = "PICKLE"

    header(place, hostile, change)


@case("safetensors: a shard that is a folder, a pipe, a link to itself", "hf", "weights", "model")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / WEIGHTS).unlink()
        os.mkfifo(place.model / WEIGHTS)
        (place.model / "model-00001-of-00002.safetensors").mkdir()
        (place.model / "model-00002-of-00002.safetensors").symlink_to("model-00002-of-00002.safetensors")


def shards(place: Place, name: str, where: Path | None = None) -> None:
    """Turn the folder into one with an index and one shard of this name, which lies at `where`."""
    shard = where or place.model / name
    tensors = load_file(place.model / WEIGHTS)
    (place.model / WEIGHTS).unlink()
    save_file(tensors, shard, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, name)}
    (place.model / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


USUAL = "model-00001-of-00001.safetensors"


@case("index: a shard at ../../outside", "hf", ("evaluate", "serve", "init_from", "transformers"), "weight_map")
def _(place: Place, hostile: bool) -> None:
    shards(place, "../../outside/stolen.safetensors" if hostile else USUAL,
           place.outside / "stolen.safetensors" if hostile else None)  # fmt: skip


@case("index: a shard by its absolute path", "hf", ("evaluate", "serve", "init_from", "transformers"), "weight_map")
def _(place: Place, hostile: bool) -> None:
    stolen = place.outside / "stolen.safetensors"
    shards(place, str(stolen) if hostile else USUAL, stolen if hostile else None)


@case("index: a shard that is a pickle", "hf", ("evaluate", "serve", "init_from", "transformers"), "of-00001")
def _(place: Place, hostile: bool) -> None:
    name = "pytorch_model-00001-of-00001.bin"
    shards(place, name if hostile else USUAL)
    if hostile:
        pickled(place, hostile, place.model / name)


@case("index: no mapping, and numbers for names", "hf", ("evaluate", "init_from", "transformers"), "weight_map")
def _(place: Place, hostile: bool) -> None:
    shards(place, USUAL)
    if hostile:
        edit_json(place.model / f"{WEIGHTS}.index.json", lambda values: values.update(weight_map={"a": 7, "b": ["../x"]}))


@case("index: nested 10^6 deep", "hf", ("evaluate", "init_from", "transformers"), "index.json")
def _(place: Place, hostile: bool) -> None:
    shards(place, USUAL)
    if hostile:
        (place.model / f"{WEIGHTS}.index.json").write_bytes(b'{"weight_map":' + b'{"a":' * 10**6 + b"}" * 10**6 + b"}")
