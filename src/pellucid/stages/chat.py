"""The run's chat format, as stages open it and as the conversations stage sends it to other processes.

Apart from the stages themselves, so that those processes need not import what only training needs.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from pellucid.conversations.encode import Encode
from pellucid.conversations.store import Encoded
from pellucid.conversations.turns import Messages
from pellucid.recipe.conversations import ChatConfig
from pellucid.tokenizer.chat import ChatFormat, load_chat_format
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["FIXED_DATE", "OpenEncode", "open_chat_format"]

FIXED_DATE = datetime(2024, 1, 1)
"""What templates that write today's date are told, so that a conversation has the same ids on any day and in any process."""


def open_chat_format(chat: ChatConfig, tokenizer: Path, base: Path) -> ChatFormat:
    """Return the recipe's chat format with the vocabulary in the folder `tokenizer`; raise as `load_chat_format` does."""
    return load_chat_format(
        chat.template, load_tokenizer(tokenizer), base=base, folder=tokenizer, system=chat.system, now=FIXED_DATE
    )


@dataclass(frozen=True)
class OpenEncode:
    """Called, gives the encoder of conversations; each process opens it once.

    The digests, of the tokenizer's folder and of the template, tell a process that outlives a run from using old contents.
    """

    chat: ChatConfig
    tokenizer: Path
    base: Path
    digests: tuple[str, str]

    def __call__(self) -> Encode:
        """Return the encoder."""
        return _open(self)


@cache
def _open(how: OpenEncode) -> Encode:
    chat = open_chat_format(how.chat, how.tokenizer, how.base)

    def encode(messages: Messages, last_only: bool) -> Encoded:
        ids, targets = chat.encode(messages, last_only=last_only)
        return Encoded(ids, targets)

    return encode
