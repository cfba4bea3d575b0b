"""GGUF files whose head asks for more than there is, or says what cannot be."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.bases import Place, case
from hostile.weights import pickled

__all__ = ["rewrite"]

# The writer's own layout of the head: magic, version, counts, fields, tensors.
_FIXED = struct.Struct("<4sIQQ")
ALL = ("evaluate", "serve", "model: like", "init_from", "llama.cpp")


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def field(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


class Head:
    """A head taken apart: fields and tensors as their bytes, by name, and all the data after it."""

    def __init__(self, file: Path) -> None:
        from pellucid.core import gguf

        self.file, self.data = file, file.read_bytes()
        _, self.version, tensors, fields = _FIXED.unpack_from(self.data)
        self.fields: dict[str, bytes] = {}
        self.tensors: dict[str, tuple[list[int], int, int]] = {}
        reader = gguf._Reader(file, self.data)  # type: ignore[arg-type]
        reader._place = _FIXED.size
        for _ in range(fields):
            name = reader._text()
            begin = reader._place
            reader._field(reader._take("I")[0])
            self.fields[name] = self.data[begin : reader._place]
        for _ in range(tensors):
            name = reader._text()
            shape = list(reader._take(f"{reader._take('I')[0]}Q"))
            self.tensors[name] = (shape, *reader._take("IQ"))
        self.counts = {"tensors": tensors, "fields": fields}
        self.body = self.data[-(-reader._place // 32) * 32 :]
        self.raw_tensors: dict[str, bytes] = {}
        self.more = b""

    def set(self, name: str, kind: int, value: bytes) -> None:
        """Set a field to a value of a type, given as its bytes."""
        self.fields[name] = struct.pack("<I", kind) + value

    def write(self) -> None:
        out = bytearray(_FIXED.pack(b"GGUF", self.version, self.counts["tensors"], self.counts["fields"] + self._added()))
        for name, value in self.fields.items():
            out += text(name) + value
        out += self.more
        for name, (shape, kind, offset) in self.tensors.items():
            plain = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
            out += text(name) + self.raw_tensors.get(name, plain)
        out += bytes(-len(out) % 32)
        self.file.write_bytes(bytes(out) + self.body)

    def _added(self) -> int:
        return max(0, len(self.fields) - self.counts["fields"])


def rewrite(place: Place, hostile: bool, change: Callable[[Head], Any]) -> None:
    head = Head(place.model)
    if hostile:
        change(head)
    head.write()


def planted(
    name: str,
    change: Callable[[Head], Any],
    *,
    openers: tuple[str, ...] = ALL,
    named: str = "model.gguf",
    taken: tuple[str, ...] = (),
) -> None:
    """Register a case that changes the head. The openers in `taken` may take it: what it says has no effect on them."""

    @case(name, "gguf", openers, named, not_refused=taken)
    def _(place: Place, hostile: bool) -> None:
        rewrite(place, hostile, change)


NORM = "output_norm.weight"

planted("GGUF: 2^60 fields", lambda head: head.counts.update(fields=2**60))
planted("GGUF: 2^60 tensors", lambda head: head.counts.update(tensors=2**60))
planted("GGUF: a text of 2^62 bytes", lambda head: head.set("general.name", 8, struct.pack("<Q", 2**62) + b"a"))
planted("GGUF: a name of 2^64 - 1 bytes", lambda head: setattr(head, "more", struct.pack("<Q", 2**64 - 1)))
planted("GGUF: a list of 2^60 numbers",
        lambda head: head.set("tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, 2**60)))  # fmt: skip
planted("GGUF: a list of 2^60 texts", lambda head: head.set("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 2**60)))
planted("GGUF: lists in lists, 10^5 deep", lambda head: head.set("a.list", 9, struct.pack("<IQ", 9, 1) * 100_000))
planted("GGUF: a field of type 9999", lambda head: head.set("a.field", 9999, b"\0" * 8))
planted("GGUF: alignment 0", lambda head: head.set("general.alignment", 4, struct.pack("<I", 0)))
planted("GGUF: alignment 2^31", lambda head: head.set("general.alignment", 4, struct.pack("<I", 2**31)))
planted("GGUF: alignment that is a text", lambda head: head.set("general.alignment", 8, text("32")))


def _shape(head: Head, shape: list[int]) -> None:
    head.tensors[NORM] = (shape, *head.tensors[NORM][1:])


planted("GGUF: a shape whose product overflows", lambda head: _shape(head, [2**32, 2**32]))
planted("GGUF: a negative size", lambda head: _shape(head, [2**64 - 64]))
planted("GGUF: a size of 0", lambda head: _shape(head, [0]))
planted("GGUF: 2^31 axes", lambda head: head.raw_tensors.update({NORM: struct.pack("<I", 2**31)}))
planted("GGUF: a tensor of type 9999", lambda head: head.tensors.update({NORM: ([64], 9999, head.tensors[NORM][2])}))
planted("GGUF: a tensor past the end", lambda head: head.tensors.update({NORM: ([64], 0, 2**50)}))
planted("GGUF: an offset that is no multiple", lambda head: head.tensors.update({NORM: ([64], 0, head.tensors[NORM][2] + 1)}))
planted("GGUF: 2^31 layers", lambda head: head.set("llama.block_count", 4, struct.pack("<I", 2**31)))
planted("GGUF: no heads", lambda head: head.set("llama.attention.head_count", 4, struct.pack("<I", 0)))
planted("GGUF: a context of 2^32 - 1", lambda head: head.set("llama.context_length", 4, struct.pack("<I", 2**32 - 1)))
planted("GGUF: heads that are a list", lambda head: head.set("llama.attention.head_count", 9, struct.pack("<IQI", 4, 1, 4)))
planted("GGUF: an architecture that there is not", lambda head: head.set("general.architecture", 8, text("../../etc/passwd")))
planted("GGUF: tokens that are numbers",
        lambda head: head.set("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 4, 600) + struct.pack("<600I", *range(600))),
        openers=("serve", "tokenizer", "llama.cpp"))  # fmt: skip
planted("GGUF: token types that are texts",
        lambda head: head.set("tokenizer.ggml.token_type", 9, struct.pack("<IQ", 8, 600) + text("x") * 600),
        openers=("serve", "tokenizer", "llama.cpp"))  # fmt: skip
planted("GGUF: merges that are none",
        lambda head: head.set("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 3) + text("") + text("one") + text("x y z")),
        openers=("serve", "tokenizer"))  # fmt: skip
planted("GGUF: an end of text at id 2^31", lambda head: head.set("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 2**31)),
        openers=("serve", "tokenizer", "llama.cpp"), named="model.gguf", taken=("llama.cpp", "serve", "tokenizer"))  # fmt: skip
planted("GGUF: a text that is no UTF-8", lambda head: head.set("general.name", 8, text(b"\xff\xfe\xfd")))
planted("GGUF: a number of parts that is a text", lambda head: head.set("split.count", 8, text("two")))


@case("GGUF: a pickle of that name", "gguf", ALL, "model.gguf")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        pickled(place, hostile, place.model)


@case("GGUF: cut off in the middle", "gguf", ALL, "model.gguf")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        data = place.model.read_bytes()
        place.model.write_bytes(data[: len(data) // 2])
