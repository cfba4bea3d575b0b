"""A conversation with a served model: turns are kept, answers appear as they grow, the oldest go unread when there is no room."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.cli.answering import TOP, Answer, answer
from pellucid.cli.chat_file import Kept, KeptMessage, write_file
from pellucid.cli.chat_settings import ChatSettings
from pellucid.cli.terminal import Terminal
from pellucid.core.errors import PellucidError, UsageError
from pellucid.export.runtimes.runtime import Message
from pellucid.generate.engine import GenerationRequest
from pellucid.serve.model import ServedModel
from pellucid.stages.chat_format import fit_prompt

__all__ = ["Conversation"]


@dataclass(frozen=True)
class _Prompt:
    ids: Sequence[int]
    is_cut: bool = False


class Conversation:
    """The turns so far, and the model that takes the next one.

    A model with a chat format answers messages. A base model continues text: every text begins anew, and `go_on` writes more of it.
    """

    def __init__(self, model: ServedModel, settings: ChatSettings, terminal: Terminal) -> None:
        self._model, self._terminal = model, terminal
        self.settings = settings
        self._kept = Kept(messages=[])
        self._answers = self._unread = 0
        self.answers = model.chat is not None
        self.was_stopped = False
        if settings.system is not None and not self.answers:
            raise UsageError(f"--system: {model.name} is a base model, which continues text; leave it out")

    @property
    def messages(self) -> Sequence[KeptMessage]:
        """The turns, the oldest first."""
        return self._kept.messages

    @property
    def question(self) -> str | None:
        """The last message or text of the user's; None before the first."""
        return next((one.content for one in reversed(self.messages) if one.role == "user"), None)

    @property
    def last_answer(self) -> KeptMessage | None:
        """The model's last answer, if it is the last turn."""
        return self.messages[-1] if self.messages and self.messages[-1].role == "assistant" else None

    def say(self, text: str) -> Answer:
        """Take a message and show the answer. Raises `PellucidError` when there can be none; the message is then forgotten."""
        before = self.messages if self.answers else ()
        return self._answered([*before, KeptMessage(role="user", content=text)], text)

    def go_on(self) -> Answer:
        """Let a base model write more of its text. Raises `UsageError` for others, and where there is no text."""
        if self.answers:
            raise UsageError("the model answers messages; ask it to go on")
        if not self.messages:
            raise UsageError("there is no text yet")
        return self._answered([*self.messages], "".join(one.content for one in self.messages))

    def retry(self) -> Answer:
        """Answer again what the last answer was to. Raises `UsageError` where there is nothing to answer."""
        turns = [*self.messages[: -1 if self.last_answer is not None else None]]
        if not turns:
            raise UsageError("there is no answer yet")
        return self._answered(turns, "".join(one.content for one in turns))

    def edit(self, text: str) -> Answer:
        """Put a text in the place of the last message, and answer that. Raises `UsageError` where there is none."""
        places = [place for place, one in enumerate(self.messages) if one.role == "user"]
        if not places:
            raise UsageError("there is no message yet")
        return self._answered([*self.messages[: places[-1]], KeptMessage(role="user", content=text)], text)

    def reset(self) -> None:
        """Begin anew, with the same settings."""
        self._kept, self._unread = Kept(messages=[]), 0

    def load(self, kept: Kept) -> None:
        """Go on with a conversation that was kept. Raises `UsageError` for settings that cannot be, or not with this model."""
        settings = self.settings.loaded(kept.settings.model_dump())
        if settings.system is not None and not self.answers:
            raise UsageError(
                f"the conversation has a system prompt, and {self._model.name} is a base model, which has no use for one"
            )
        self.settings, self._kept, self._unread = settings, kept, 0
        # Further answers are drawn as they would have been without leaving.
        self._answers = sum(one.role == "assistant" for one in kept.messages)

    def save(self, path: Path) -> None:
        """Write the conversation as the chat page exports it; see `write_file` for what it raises."""
        if not self.messages:
            raise UsageError("there is nothing to save yet")
        write_file(path, self._kept, self.settings.kept())

    def _answered(self, turns: list[KeptMessage], shown_first: str) -> Answer:
        """Show the answer to these turns, and keep both; where nothing was written, all stays as it was."""
        settings = self.settings
        prompt = self._prompt(turns)
        request = GenerationRequest(
            tuple(prompt.ids),
            settings.new_tokens,
            settings.sampling,
            settings.seed_of(self._answers),
            self._model.stop_ids,
            top_logprobs=TOP,
        )
        self._answers += 1
        waiting = "" if self.answers else shown_first

        def show(text: str) -> None:
            nonlocal waiting
            self._terminal.stream(waiting + text)
            waiting = ""

        found = answer(self._model, request, settings.stop, show)
        self.was_stopped = found.end == "stopped"
        self._terminal.end(self._remark(found, prompt.is_cut))
        if found.text or found.end not in ("stopped", "broken"):
            self._kept.messages = [*turns, self._message(found)]
        if found.error is not None:
            raise PellucidError(found.error)
        return found

    def _prompt(self, turns: Sequence[KeptMessage]) -> _Prompt:
        model, room = self._model, self.settings.new_tokens
        if model.chat is None:
            return self._text_prompt("".join(one.content for one in turns), room)
        said: list[Message] = [{"role": one.role, "content": one.content} for one in turns]
        system: list[Message] = [] if self.settings.system is None else [{"role": "system", "content": self.settings.system}]
        # What had no room earlier is not tried again: the prompt then begins as before, and the engine need not reread it.
        skipped = min(self._unread, len(said) - 1)
        ids, dropped = fit_prompt(model.chat, [*system, *said[skipped:]], model.engine.context_tokens, room)
        if skipped + dropped > self._unread:
            self._unread = skipped + dropped
            context = model.engine.context_tokens
            self._terminal.remark(f"the context of {context} tokens is full: the oldest {self._unread} messages are left out")
        return _Prompt(ids)

    def _text_prompt(self, text: str, new_tokens: int) -> _Prompt:
        """Return the ids of a text, or of its end where the context has no room for more and for what is to be written."""
        model, context_tokens = self._model, self._model.engine.context_tokens
        ids = model.encode(text)
        if model.engine.identity.get("kind") == "checkpoint" and ids[0] != model.first_id:
            # In training, a text of ours began after the end of another.
            ids = [model.first_id, *ids]
        room = context_tokens - min(new_tokens, max(1, context_tokens // 4))
        return _Prompt(ids[-room:], is_cut=len(ids) > room)

    def _remark(self, found: Answer, is_cut: bool) -> str:
        context, limit = self._model.engine.context_tokens, self.settings.new_tokens
        said = []
        if is_cut:
            said.append(f"the context of {context} tokens is full: only the end of the text was read")
        if found.end == "context" and not is_cut:
            said.append(f"the context of {context} tokens is full")
        if found.end == "length" and self.answers:
            said.append(f"cut off after {limit} tokens; --new-tokens N, or /new-tokens N, allows more")
        if found.end is None and not self.answers:
            said.append("end of text")
        if found.end is None and self.answers and not found.text:
            said.append("the model had nothing to say")
        if found.end == "stopped":
            said.append("stopped by you" if found.text else "stopped before anything was written")
        if found.end == "broken":
            said.append("broken off")
        return "; ".join(said)

    def _message(self, found: Answer) -> KeptMessage:
        end = "length" if found.end == "context" else found.end
        return KeptMessage(
            role="assistant",
            content=found.text,
            segments=found.segments(self._model),
            tokens=found.count,
            seconds=round(found.seconds, 3),
            limit=self.settings.new_tokens,
            model=self._model.name,
            end=end or (None if found.text else "empty"),
        )
