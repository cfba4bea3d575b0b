"""`pellucid chat TARGET`: a model that learnt from conversations answers; a base model goes on with what you type."""

import argparse
from pathlib import Path

from pellucid.cli.chat_commands import WITH_FILES, Commands, words
from pellucid.cli.chat_file import choose, read_file
from pellucid.cli.chat_settings import ChatSettings
from pellucid.cli.conversation import Conversation
from pellucid.cli.engine_shape import engine_shape
from pellucid.cli.output import print_text
from pellucid.cli.terminal import Terminal
from pellucid.core.errors import PellucidError
from pellucid.serve.model import ServedModel
from pellucid.stages.served import open_served

__all__ = ["command"]

_STOPPED = 130


def command(arguments: argparse.Namespace) -> int:
    """Answer or continue one prompt, or ask for prompts until the input ends."""
    # Before anything is loaded: settings outside their range, a file that is no conversation.
    settings = ChatSettings.of_flags(arguments)
    shape = engine_shape(arguments, slots=1)
    loaded = None if arguments.load is None else Path(arguments.load)
    if loaded is not None:
        choose(read_file(loaded), None, loaded)
    model = open_served(Path(arguments.target), shape)
    try:
        terminal = Terminal(words(), WITH_FILES)
        conversation = Conversation(model, settings, terminal)
        commands = Commands(conversation, terminal)
        if loaded is not None:
            commands.load(loaded, is_shown=arguments.prompt is None)
        if arguments.prompt is not None:
            conversation.say(arguments.prompt)
            return _STOPPED if conversation.was_stopped else 0
        terminal.remark(_greeting(model))
        return _talk(commands, conversation, terminal)
    finally:
        model.engine.close()


def _talk(commands: Commands, conversation: Conversation, terminal: Terminal) -> int:
    """Do what is typed until the end of the input, in a pipe also until an empty line. Ctrl-C leaves when it comes twice.

    Return the exit status: of a pipe, 1 when anything in it could not be done. What comes after that was done all the same.
    """
    was_asked = has_failed = False
    while not commands.is_over:
        try:
            line = terminal.read()
            if line is None or not (line.strip() or terminal.is_typed):
                break
            was_asked = False
            if line.strip():
                commands.take(line.strip() if conversation.answers or line.startswith("/") else line)
            if conversation.was_stopped and not terminal.is_typed:
                return _STOPPED
        except KeyboardInterrupt:
            print_text("")
            if was_asked or not terminal.is_typed:
                return _STOPPED
            was_asked = True
            terminal.remark("Ctrl-D or /quit leaves, and so does another Ctrl-C")
        except PellucidError as error:
            terminal.remark(str(error))
            has_failed = True
    print_text("")
    return int(has_failed and not terminal.is_typed)


def _greeting(model: ServedModel) -> str:
    facts = f"{model.name}, {model.engine.identity['engine']}, {model.engine.context_tokens} tokens of context."
    base = "" if model.chat is not None else " It is a base model: it continues your text."
    return f"{facts}{base} /help lists what else can be typed; Ctrl-D leaves."
