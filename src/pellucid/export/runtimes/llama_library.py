"""llama.cpp's own C interface, found in the library that xllamacpp brings: all logits of a text in one call.

Its server answers with one position a request, and that as JSON over the whole vocabulary; for a thousand positions that is
minutes instead of seconds. The functions of `llama.h` pass their settings as structures whose layout changes now and then.
Settings that stay at their defaults are passed on as they came; those of a context are set only where the defaults say that the
layout is the one known here (`ArtifactError` otherwise; the server can always be asked instead).
"""

import ctypes
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.export.runtimes.stepping import Stepped

__all__ = ["LlamaLibrary"]


class _Settings(ctypes.Structure):
    """Settings by value. Larger than the real structure: such structures lie in memory, and only their beginning is read."""

    _fields_: ClassVar = [("bytes", ctypes.c_uint8 * 1024)]


class _Batch(ctypes.Structure):
    """llama.h's llama_batch."""

    _fields_: ClassVar = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


# Places of llama_context_params that are set, and the whole of its defaults up to them (None: depends on the machine).
_N_CTX, _N_BATCH, _N_UBATCH, _SEQUENCES, _THREADS, _THREADS_BATCH, _FLASH, _TYPE_K, _TYPE_V = 0, 1, 2, 3, 7, 8, 13, 26, 27
_MINUS_ONE = struct.unpack("<i", struct.pack("<f", -1.0))[0]
_DEFAULTS: tuple[int | None, ...] = (
    512, 2048, 512, 1, 0, 0, 1, None, None, 0, -1, -1, -1, -1, 0, 0,
    _MINUS_ONE, _MINUS_ONE, _MINUS_ONE, _MINUS_ONE, 0, _MINUS_ONE, 0, 0, 0, 0, 1, 1,
)  # fmt: skip
_UBATCH = 512
_PADDING = 256
"""llama.cpp rounds a sequence's room up to it."""

_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
# Kept for ever: the library calls it whenever it has something to say.
_silent = _Log(lambda level, text, data: None)

_POINTER, _INT, _TEXT, _BOOL = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_bool
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_log_set": (None, [_Log, _POINTER]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (_Settings, []),
    "llama_context_default_params": (_Settings, []),
    "llama_model_load_from_file": (_POINTER, [_TEXT, _Settings]),
    "llama_model_free": (None, [_POINTER]),
    "llama_model_get_vocab": (_POINTER, [_POINTER]),
    "llama_model_chat_template": (_TEXT, [_POINTER, _TEXT]),
    "llama_vocab_n_tokens": (_INT, [_POINTER]),
    "llama_vocab_eos": (_INT, [_POINTER]),
    "llama_vocab_is_eog": (_BOOL, [_POINTER, _INT]),
    "llama_tokenize": (_INT, [_POINTER, _TEXT, _INT, ctypes.POINTER(_INT), _INT, _BOOL, _BOOL]),
    "llama_init_from_model": (_POINTER, [_POINTER, _Settings]),
    "llama_free": (None, [_POINTER]),
    "llama_get_memory": (_POINTER, [_POINTER]),
    "llama_memory_clear": (None, [_POINTER, _BOOL]),
    "llama_decode": (_INT, [_POINTER, _Batch]),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [_POINTER]),
}


class LlamaLibrary:
    """A GGUF file that llama.cpp's library has open. The context, on one thread and with float32 keys and values, comes when asked.

    Raises `MissingExtraError` without the package xllamacpp, and `ArtifactError` when llama.cpp does not take the file, or when the
    library lacks a function.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._context_tokens = path, 0
        self._context: int | None = None
        self._steps: _Steps | None = None
        self._functions = _library()
        self._functions.llama_log_set(_silent, None)
        self._functions.llama_backend_init()
        self._model = self._functions.llama_model_load_from_file(str(path).encode(), self._functions.llama_model_default_params())
        if not self._model:
            raise ArtifactError(f"llama.cpp does not load {path}: it is cut short, damaged, or of a shape that it does not run")
        self._vocab = self._functions.llama_model_get_vocab(self._model)
        self.vocab_tokens: int = self._functions.llama_vocab_n_tokens(self._vocab)

    @property
    def eos_id(self) -> int | None:
        """The file's end of text as llama.cpp reads it; None without one."""
        id_: int = self._functions.llama_vocab_eos(self._vocab)
        return id_ if id_ >= 0 else None

    @property
    def chat_template(self) -> str | None:
        """The file's own chat template; None without one (the server then takes one of its own)."""
        template: bytes | None = self._functions.llama_model_chat_template(self._model, None)
        return None if template is None else template.decode()

    def stop_ids(self) -> frozenset[int]:
        """Return every id after which llama.cpp ends an answer."""
        return frozenset(id_ for id_ in range(self.vocab_tokens) if self._functions.llama_vocab_is_eog(self._vocab, id_))

    def tokenize(self, text: str, *, parse_special: bool = False, add_special: bool = False) -> list[int]:
        """Return llama.cpp's ids of a text: special tokens recognised with `parse_special`, and with `add_special` those added that
        the file asks for.
        """
        raw, room = text.encode(), len(text.encode()) + 8
        while True:
            ids = (_INT * room)()
            found: int = self._functions.llama_tokenize(self._vocab, raw, len(raw), ids, room, add_special, parse_special)
            if found >= 0:
                return list(ids[:found])
            room = -found

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the logits after each of `ids`, [T, V]. Raises `ArtifactError` where settings are laid out otherwise."""
        count = len(ids)
        if self._context is None or count > self._context_tokens:
            self._open_context(max(count, 64))
        self._forget()
        return self._decode([_Asked(id_, place) for place, id_ in enumerate(ids)]).copy()  # the memory is the library's

    def steps(self, prompts: Sequence[Sequence[int]], new_tokens: int, threads: int) -> Stepped:
        """Let sequences of one length go on, greedily, with llama.cpp's own settings but for the threads; see `Stepping`.

        A context is made for so many sequences of such a length before the clock starts, and kept for the next call.
        """
        length = len(prompts[0]) + new_tokens
        if self._steps is None or not self._steps.takes(len(prompts), length, threads):
            self._open_steps(_Steps(len(prompts), -(-length // _PADDING) * _PADDING, threads))
        started = time.perf_counter()
        self._forget()
        asked = [
            _Asked(id_, place, sequence, place == len(ids) - 1)
            for sequence, ids in enumerate(prompts)
            for place, id_ in enumerate(ids)
        ]
        at_s, new = [], []
        for place in range(len(prompts[0]), length):
            likeliest = self._decode(asked).argmax(axis=1).tolist()
            asked = [_Asked(id_, place, sequence) for sequence, id_ in enumerate(likeliest)]
            at_s.append(time.perf_counter() - started)
            new.append(likeliest)
        return Stepped(at_s, [list(ids) for ids in zip(*new, strict=True)])

    def _forget(self) -> None:
        self._functions.llama_memory_clear(self._functions.llama_get_memory(self._context), True)

    def _decode(self, asked: Sequence["_Asked"]) -> npt.NDArray[np.float32]:
        """Return the logits after the tokens whose logits are asked for, [R, V], valid until the next call."""
        count, rows = len(asked), sum(one.logits for one in asked)
        sequences = [(_INT * 1)(number) for number in range(max(one.sequence for one in asked) + 1)]
        batch = _Batch(
            count,
            (_INT * count)(*[one.id for one in asked]),
            None,
            (_INT * count)(*[one.place for one in asked]),
            (_INT * count)(*[1] * count),
            (ctypes.POINTER(_INT) * count)(*[ctypes.cast(sequences[one.sequence], ctypes.POINTER(_INT)) for one in asked]),
            (ctypes.c_int8 * count)(*[one.logits for one in asked]),
        )
        status = self._functions.llama_decode(self._context, batch)
        if status != 0:
            raise ArtifactError(f"llama.cpp cannot compute {count} tokens of {self._path}: llama_decode says {status}")
        return np.ctypeslib.as_array(self._functions.llama_get_logits(self._context), shape=(rows, self.vocab_tokens))

    def close(self) -> None:
        """Free context and model. May be called twice."""
        if self._context is not None:
            self._functions.llama_free(self._context)
            self._context = None
        if self._model:
            self._functions.llama_model_free(self._model)
            self._model = None

    def _open_context(self, tokens: int) -> None:
        self._make_context(
            {_N_CTX: tokens, _N_BATCH: tokens, _N_UBATCH: min(tokens, _UBATCH), _FLASH: 0, _TYPE_K: 0, _TYPE_V: 0}  # 0: float32
            | {_THREADS: 1, _THREADS_BATCH: 1},
            f"{tokens} tokens",
        )
        self._context_tokens, self._steps = tokens, None

    def _open_steps(self, steps: "_Steps") -> None:
        tokens = steps.sequences * steps.tokens
        self._make_context(
            {_N_CTX: tokens, _N_BATCH: tokens, _SEQUENCES: steps.sequences, _THREADS: steps.threads, _THREADS_BATCH: steps.threads},
            f"{steps.sequences} sequences of {steps.tokens} tokens",
        )
        self._context_tokens, self._steps = 0, steps

    def _make_context(self, places: dict[int, int], told: str) -> None:
        settings = self._functions.llama_context_default_params()
        values = np.frombuffer(settings, dtype=np.int32)
        if any(default is not None and values[place] != default for place, default in enumerate(_DEFAULTS)):
            raise ArtifactError("this version of llama.cpp lays out a context's settings in a way that is not known here")
        if self._context is not None:
            self._functions.llama_free(self._context)
        values[list(places)] = list(places.values())
        self._context = self._functions.llama_init_from_model(self._model, settings)
        if not self._context:
            self._context, self._context_tokens, self._steps = None, 0, None
            raise ArtifactError(f"llama.cpp makes no context of {told} for {self._path}")


class _Asked(NamedTuple):
    """A token of a batch: its place in its sequence, and whether the logits after it are wanted."""

    id: int
    place: int
    sequence: int = 0
    logits: bool = True


class _Steps(NamedTuple):
    """For how many sequences of which length the context was made."""

    sequences: int
    tokens: int
    threads: int

    def takes(self, sequences: int, tokens: int, threads: int) -> bool:
        return sequences <= self.sequences and tokens <= self.tokens and threads == self.threads


def _library() -> Any:
    """The loaded library with the types of its functions."""
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError("xllamacpp", "gguf", "running a GGUF file") from error
    try:
        library = ctypes.CDLL(str(xllamacpp.xllamacpp.__file__))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError) as error:
        raise ArtifactError(f"xllamacpp {xllamacpp.__version__} does not offer llama.cpp's own functions: {error}") from error
    return library
