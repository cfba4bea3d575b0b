"""Our own decoder as a runtime: what every export is compared with."""

from collections.abc import Sequence
from importlib import metadata
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.export.runtimes.runtime import Message
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["DecoderRuntime"]


class DecoderRuntime:
    """A `Runtime`: a checkpoint's model as it was trained, with its tokenizer and, where it has learnt one, its chat format."""

    name = "Pellucid"
    load_s = 0.0

    def __init__(self, model: Decoder, tokenizer: Tokenizer, chat: ChatFormat | None = None) -> None:
        self._model, self._tokenizer, self._chat = model, tokenizer, chat
        self.version = f"{metadata.version('pellucid')}, torch {torch.__version__}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is freed: the model is the caller's."""

    def encode(self, text: str) -> list[int]:
        """Return the tokenizer's ids of a raw text."""
        return list(self._tokenizer.encode(text))

    def encode_plain(self, text: str) -> list[int]:
        """Return the same: nothing is added to a text."""
        return self.encode(text)

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation, up to where the assistant is to speak; None for a base model."""
        return None if self._chat is None else list(self._chat.prompt([dict(message) for message in messages]))

    @property
    def eos_id(self) -> int:
        """The id that stood between documents in training."""
        return self._tokenizer.eos_id

    def stop_ids(self) -> frozenset[int]:
        """Return the ids that end an answer: those of the chat format, or the end of text."""
        return frozenset((self._tokenizer.eos_id,) if self._chat is None else self._chat.stop_ids)

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]."""
        was_training = self._model.training
        self._model.eval()
        with torch.inference_mode():
            logits_TV = self._model.logits(self._model(torch.tensor([list(ids)])))[0].float().numpy()
        self._model.train(was_training)
        return log_softmax(logits_TV)
