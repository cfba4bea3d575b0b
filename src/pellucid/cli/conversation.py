"""A conversation in the terminal: turns are kept, answers appear as they grow, the oldest turns go when the context is full."""

import argparse
import codecs
import sys

from pellucid.cli.output import print_text
from pellucid.core.errors import PellucidError
from pellucid.export.chat_parity import Message
from pellucid.generate.decoding import Generation, generate
from pellucid.model.decoder import Decoder
from pellucid.stages.chat_format import fit_prompt
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["Conversation", "print_stream"]

COMMANDS = "/reset begins anew, /system TEXT sets the system prompt, /retry answers again, /quit ends"


class Conversation:
    """The turns so far, and the model that takes the next one. `settings` are the arguments of `pellucid chat`."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer, chat: ChatFormat, settings: argparse.Namespace) -> None:
        self._model, self._tokenizer, self._chat, self._settings = model, tokenizer, chat, settings
        self._system: str | None = settings.system
        self._turns: list[Message] = []
        self._answers = 0

    def talk(self) -> None:
        """Read lines until an empty one, /quit or the end of the input, and answer them."""
        while True:
            print_text("\n> " if sys.stdin.isatty() else "", end="")
            line = sys.stdin.readline().strip()
            if not line or line == "/quit":
                print_text("")
                return
            try:
                self._command(line) if line.startswith("/") else self.say(line)
            except PellucidError as error:
                print_text(f"[{error}]")

    def say(self, text: str) -> None:
        """Take a user's message and print the answer. Raises what rendering and sampling raise; the message is then forgotten."""
        self._turns.append({"role": "user", "content": text})
        try:
            answer = self._answer()
        except BaseException:
            del self._turns[-1]
            raise
        self._turns.append({"role": "assistant", "content": answer})

    def _answer(self) -> str:
        system: list[Message] = [] if self._system is None else [{"role": "system", "content": self._system}]
        settings, context_tokens = self._settings, self._model.config.context_tokens
        ids, dropped = fit_prompt(self._chat, [*system, *self._turns], context_tokens, settings.new_tokens)
        if dropped:
            del self._turns[:dropped]
            print_text(f"[the context of {context_tokens} tokens is full: the oldest {dropped} messages are left out]")
        stream = generate(
            self._model,
            ids,
            max_new_tokens=settings.new_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            seed=settings.seed + self._answers,  # so that /retry gives another answer
            stop_ids=self._chat.stop_ids,
        )
        self._answers += 1
        answer = print_stream(stream, self._tokenizer)
        remark = {
            "context": f" [the context of {context_tokens} tokens is full]",
            "max_new_tokens": f" [cut off after {settings.new_tokens} tokens; --new-tokens N allows more]",
        }
        print_text(remark.get(stream.stop_reason or "", ""))
        return answer

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name == "/reset":
            self._turns.clear()
            print_text("[the conversation begins anew]")
        elif name == "/system":
            self._system = rest.strip() or None
            self._turns.clear()
            print_text("[the conversation begins anew, with this system prompt]" if self._system else "[no system prompt]")
        elif name == "/retry" and len(self._turns) >= 2:
            question = self._turns[-2]["content"]
            kept = self._turns[-2:]
            del self._turns[-2:]
            try:
                self.say(question)
            except PellucidError:
                self._turns += kept
                raise
        else:
            print_text("[there is no answer yet]" if name == "/retry" else f"[{COMMANDS}]")


def print_stream(stream: Generation, tokenizer: Tokenizer) -> str:
    """Print what is generated as it grows, characters of several tokens when they are whole, and return it."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    parts = []
    for token in stream:
        parts.append(decoder.decode(tokenizer.decode_bytes([token])))
        print_text(parts[-1], end="")
    parts.append(decoder.decode(b"", final=True))
    print_text(parts[-1], end="")
    return "".join(parts)
