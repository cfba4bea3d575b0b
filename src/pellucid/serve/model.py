"""What is served: an engine with the vocabulary and the chat format that belong to it."""

from dataclasses import dataclass
from functools import cached_property

from pellucid.core.errors import DataError
from pellucid.generate.engine import Engine
from pellucid.serve.origins import Origins
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["ServedModel", "token_name"]

_NO_TOKEN = "\N{REPLACEMENT CHARACTER}".encode()


@dataclass(frozen=True)
class ServedModel:
    """`chat` is None for a base model. `first_id` stands before every text where it `begins_texts`, else before an empty one.

    `origins` is what finds answers in the training data, or why there is none.
    """

    name: str
    engine: Engine
    tokenizer: Tokenizer
    chat: ChatFormat | None
    first_id: int
    begins_texts: bool
    created: int
    origins: Origins | str = "the model that is served belongs to no run"

    @cached_property
    def _special_names(self) -> dict[int, str]:
        return {id_: name for name, id_ in self.tokenizer.special.items()}

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """What ends an answer: the chat format's ids, or a base model's end of text."""
        return frozenset(self.chat.stop_ids if self.chat is not None else (self.tokenizer.eos_id,))

    def encode(self, text: str) -> list[int]:
        """Return a prompt's ids. Names of special tokens stay text. Raises `DataError` on lone surrogates."""
        ids = self.tokenizer.encode(text)
        return [self.first_id, *ids] if self.begins_texts or not ids else ids

    def shown_bytes(self, id_: int) -> bytes:
        """Return what a token adds to an answer: nothing for a special one, U+FFFD for a padding row without a token."""
        return b"" if id_ in self._special_names else self.own_bytes(id_)

    def own_bytes(self, id_: int) -> bytes:
        """Return a token's bytes; a special one's are its name."""
        try:
            return self.tokenizer.decode_bytes([id_])
        except DataError:
            return _NO_TOKEN


def token_name(own: bytes) -> str:
    """Return a token as OpenAI shows it: its text, or its bytes where they are no characters by themselves."""
    try:
        return own.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in own)
