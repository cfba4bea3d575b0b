"""What can be said to `pellucid chat` beside messages: the commands that begin with a slash, one table for help and for doing."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.text import Text

from pellucid.cli.chat_file import KeptMessage, choose, is_there, path_of, read_file
from pellucid.cli.chat_settings import NUMBERS
from pellucid.cli.chat_tokens import tokens_text
from pellucid.cli.conversation import Conversation
from pellucid.cli.terminal import Terminal
from pellucid.core.errors import UsageError
from pellucid.core.excerpt import visible

__all__ = ["WITH_FILES", "Commands", "words"]

WITH_FILES = ("/save", "/load")


class _Command(NamedTuple):
    usage: str
    help: str
    do: Callable[["Commands", str], None]


class Commands:
    """Does what a line says: a command, or a message to the model."""

    def __init__(self, conversation: Conversation, terminal: Terminal) -> None:
        self._talk, self._terminal = conversation, terminal
        self._file: Path | None = None
        self.is_over = False

    def take(self, line: str) -> None:
        """Do it. Raises `PellucidError` for what cannot be done; the conversation is then as it was."""
        if not line.startswith("/") or line.startswith("//"):
            self._talk.say(line.removeprefix("/"))
            return
        name, _, rest = line.partition(" ")
        name = name.removeprefix("/").lower()
        if name in _NUMBERS:
            self._set(name, rest.strip())
        elif name in _COMMANDS:
            _COMMANDS[name].do(self, rest.strip())
        else:
            raise UsageError(f"/{name} is no command; /help lists them, and // begins a message that has a slash first")

    def load(self, path: Path, number: int | None = None, is_shown: bool = True) -> None:
        """Go on with a conversation from a file."""
        found = read_file(path)
        self._talk.load(choose(found, number, path))
        # A file of several is the page's export, and is not written over with one of them.
        self._file = path if len(found) == 1 else None
        if is_shown:
            self._show("")

    def _set(self, name: str, value: str) -> None:
        if value:
            self._talk.settings = self._talk.settings.with_number(name, value)
        self._terminal.remark(f"{name} {dict(self._talk.settings.shown())[name]}")

    def _help(self, _: str) -> None:
        lines = [(one.usage, one.help) for one in _COMMANDS.values()]
        width = max(len(usage) for usage, _ in lines)
        for usage, text in lines:
            if not (usage in _OF_ANSWERS and not self._talk.answers) and not (usage in _OF_TEXTS and self._talk.answers):
                self._terminal.styled(Text.assemble(f"  {usage:<{width}}  ", (text, "dim")))
        names = ", ".join(f"/{name}" for name in _NUMBERS)
        self._terminal.styled(Text.assemble("  ", names, (" X: set it, or show it without X; off where it can be without", "dim")))
        self._terminal.styled(Text(_ABOUT, "dim"))

    def _settings(self, _: str) -> None:
        for name, value in self._talk.settings.shown():
            self._terminal.styled(Text.assemble((f"  {name:<20}", "dim"), visible(value)))

    def _system(self, text: str) -> None:
        if not self._talk.answers:
            raise UsageError("the model is a base model, which continues text and has no system prompt")
        self._talk.settings = self._talk.settings.with_system(text or None)
        self._talk.reset()
        self._file = None
        self._terminal.remark("the conversation begins anew, with this system prompt" if text else "no system prompt")

    def _reset(self, _: str) -> None:
        self._talk.reset()
        self._file = None
        self._terminal.remark("the conversation begins anew")

    def _retry(self, _: str) -> None:
        self._talk.retry()

    def _edit(self, text: str) -> None:
        question = self._talk.question
        if question is None:
            raise UsageError("there is no message yet")
        if not text:
            if not self._terminal.can_edit:
                raise UsageError("/edit TEXT: give the message as it is to be; there is no line editing here")
            text = (self._terminal.read(question) or "").strip()
        if text:
            self._talk.edit(text)

    def _more(self, _: str) -> None:
        self._talk.go_on()

    def _stop(self, text: str) -> None:
        self._talk.settings = self._talk.settings.with_stop(text)
        self._terminal.remark(f"stop {dict(self._talk.settings.shown())['stop']}")

    def _tokens(self, text: str) -> None:
        last = self._talk.last_answer
        if last is None:
            raise UsageError("there is no answer yet")
        if not last.segments:
            raise UsageError("nothing is known of this answer's tokens")
        if text and not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
            raise UsageError(f"/tokens {text}: give a whole number, of the unlikeliest tokens to be shown, or nothing for all")
        self._terminal.styled(tokens_text(last.segments, int(text) if text else None, self._terminal.width))

    def _save(self, text: str) -> None:
        path = path_of(text) if text else self._file
        if path is None:
            raise UsageError("/save FILE: give a name, for example talk.json")
        self._talk.save(path)
        self._file = path
        self._terminal.remark(f"saved in {path}; the chat page reads it too")

    def _load(self, text: str) -> None:
        if not text:
            raise UsageError("/load FILE: give the name of a file that /save or the chat page has written")
        path, (before, _, last) = path_of(text), text.rpartition(" ")
        if before and last.isascii() and last.isdigit() and len(last) < 10 and not is_there(path):
            self.load(path_of(before.strip()), int(last))
        else:
            self.load(path)

    def _show(self, _: str) -> None:
        for message in self._talk.messages:
            self._terminal.styled(_shown(message, self._talk.answers))

    def _quit(self, _: str) -> None:
        self.is_over = True


def _shown(message: KeptMessage, answers: bool) -> Text:
    """Return a message as it stood on the screen when it was new."""
    if message.role == "user" and answers:
        return Text.assemble(("> ", "bold"), (visible(message.content), "bold"))
    return Text(visible(message.content))


_NUMBERS = tuple(NUMBERS)
_COMMANDS = {
    "retry": _Command("/retry", "answer the last message again", Commands._retry),
    "edit": _Command("/edit [TEXT]", "change the last message, and answer that", Commands._edit),
    "more": _Command("/more", "write more of the text", Commands._more),
    "tokens": _Command("/tokens [N]", "how likely each token of the last answer was; or its N unlikeliest", Commands._tokens),
    "show": _Command("/show", "the conversation so far", Commands._show),
    "reset": _Command("/reset", "begin anew", Commands._reset),
    "system": _Command("/system [TEXT]", "begin anew with this system prompt, or without one", Commands._system),
    "save": _Command("/save [FILE]", "keep the conversation, as the chat page exports it", Commands._save),
    "load": _Command("/load FILE [N]", "go on with a conversation that was kept; N of a file with several", Commands._load),
    "settings": _Command("/settings", "how answers are made", Commands._settings),
    "stop": _Command("/stop [TEXT]", r"end answers before this text; \n is the end of a line", Commands._stop),
    "help": _Command("/help", "this list", Commands._help),
    "quit": _Command("/quit", "leave, as Ctrl-D does", Commands._quit),
}
_OF_ANSWERS = ("/system [TEXT]",)
_OF_TEXTS = ("/more",)
_ABOUT = r"""  Ctrl-C stops an answer and keeps what was written. A line that ends with \ goes on in the next one.
  A message that begins with a slash is typed with two."""


def words() -> tuple[str, ...]:
    """Return all commands, as they are typed."""
    return tuple(f"/{name}" for name in (*_COMMANDS, *_NUMBERS))
