"""What the certificate asks of a program that runs models: ids of texts and conversations, and log-probabilities."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Message", "Runtime"]

Message = Mapping[str, str]
"""One turn of a conversation: `role` (system, user or assistant) and `content`."""


class Runtime(Protocol):
    """A model that some program has open. It is closed at the end of the `with` block; only then is its memory free.

    Opening raises `MissingExtraError` without the program, and `ArtifactError` when it does not take the files.
    """

    @property
    def name(self) -> str:
        """The program's name as its makers write it: transformers, llama.cpp, MLX, OpenVINO, Pellucid."""

    @property
    def version(self) -> str:
        """The program's version, and that of the package which brings it where they differ."""

    @property
    def load_s(self) -> float:
        """Seconds from the files to a model that answers."""

    def encode(self, text: str) -> list[int]:
        """Return the program's ids of a raw text: no token added, and the name of a special token read as text."""

    def encode_plain(self, text: str) -> list[int]:
        """Return the ids of a text by a plain call, as users make it: with the tokens that the export has the program add."""

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation by the export's own template, up to where the assistant is to speak; None without one.

        Raises `DataError` for a conversation that the template refuses (one without a system prompt, for example).
        """

    @property
    def eos_id(self) -> int | None:
        """The id that this program takes for the export's end of text; None where it knows none."""

    def stop_ids(self) -> frozenset[int]:
        """Return the ids after which this program ends an answer of this export by itself."""

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]: row t follows `ids[: t + 1]`.

        V is at least the tokenizer's size; rows of padding may follow. Each row adds up to one within float32's rounding.
        """

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Free the model."""
