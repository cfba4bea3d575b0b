"""ChatML written by hand: what a chat format has to be able to do, in a few lines."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pellucid.tokenizer.tokenizer import Tokenizer


class Ids(NamedTuple):
    ids: list[int]
    targets: list[bool]


class ChatML:
    template = "chatml by hand"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._start, self._end = (tokenizer.special[name] for name in ("<|im_start|>", "<|im_end|>"))
        self.stop_ids = (tokenizer.eos_id, self._end)

    def encode(self, messages: Sequence[Mapping[str, str]], *, last_only: bool = False, assistant: str = "assistant") -> Ids:
        found = Ids([], [])
        for message in messages:
            said = [*self._tokenizer.encode(message["content"]), self._end]
            for part, target in ((self._header(message["role"], assistant), False), (said, message["role"] == "assistant")):
                found.ids.extend(part)
                found.targets.extend([target] * len(part))
            found.ids.extend(self._tokenizer.encode("\n"))
            found.targets.append(False)
        return found

    def prompt(self, messages: Sequence[Mapping[str, str]], *, assistant: str = "assistant") -> list[int]:
        return [*self.encode(messages).ids, *self._header("assistant", assistant)]

    def _header(self, role: str, assistant: str) -> list[int]:
        if role == "assistant" and assistant in self._tokenizer.special:
            return [self._start, self._tokenizer.special[assistant], *self._tokenizer.encode("\n")]
        return [self._start, *self._tokenizer.encode(f"{assistant if role == 'assistant' else role}\n")]
