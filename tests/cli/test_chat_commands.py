from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.cli.chat_commands import Commands, words
from pellucid.cli.chat_settings import ChatSettings
from pellucid.cli.conversation import Conversation
from pellucid.cli.terminal import Terminal
from pellucid.core.errors import DataError, UsageError
from pellucid.generate.sampling import Sampling
from pellucid.serve.model import ServedModel

Take = Callable[..., str]


class Talk:
    def __init__(self, model: ServedModel) -> None:
        terminal = Terminal()
        self.conversation = Conversation(model, ChatSettings(new_tokens=4), terminal)
        self.commands = Commands(self.conversation, terminal)

    @property
    def said(self) -> list[str]:
        return [one.content for one in self.conversation.messages if one.role == "user"]


@pytest.fixture
def talk(tiny: ServedModel, typed: Callable[[str], None]) -> Talk:
    typed("")
    return Talk(tiny)


@pytest.fixture
def take(talk: Talk, capsys: pytest.CaptureFixture[str]) -> Take:
    def taken(line: str, talk: Talk = talk) -> str:
        talk.commands.take(line)
        return capsys.readouterr().out

    return taken


def test_lines_are_messages_unless_one_slash_is_first(talk: Talk, take: Take) -> None:
    take("Hello")
    take("//etc is a folder")
    assert talk.said == ["Hello", "/etc is a folder"]
    with pytest.raises(UsageError, match="/etc is no command; /help lists them"):
        take("/etc is a folder")


def test_every_command_is_in_the_help_of_a_model_that_knows_it(talk: Talk, take: Take, tiny_base: ServedModel) -> None:
    shown, of_base = take("/help"), take("/help", Talk(tiny_base))
    assert {word for word in words() if word not in shown} == {"/more"}
    assert {word for word in words() if word not in of_base} == {"/system"}
    assert "Ctrl-C stops an answer" in shown


def test_settings_are_set_shown_and_used(talk: Talk, take: Take) -> None:
    assert take("/temperature 0") == "[temperature 0]\n"
    assert take("/TOP-K off") == "[top-k off]\n"
    assert take("/new-tokens") == "[new-tokens 4]\n"
    assert take("/new-tokens 2") == "[new-tokens 2]\n"
    assert take(r"/stop \n\n") == "[stop '\\n\\n']\n"
    assert talk.conversation.settings == ChatSettings(None, 2, Sampling(0), ("\n\n",))
    with pytest.raises(UsageError, match="temperature is -1"):
        take("/temperature -1")
    shown = dict(line.split() for line in take("/settings").splitlines())
    assert (shown["temperature"], shown["top-k"], shown["new-tokens"], shown["seed"]) == ("0", "off", "2", "1")
    take("Hello")
    assert talk.conversation.messages[-1].tokens == 2


def test_conversations_begin_anew_with_or_without_a_system_prompt(talk: Talk, take: Take, tiny_base: ServedModel) -> None:
    take("Hello")
    assert take("/system  Be brief. ") == "[the conversation begins anew, with this system prompt]\n"
    assert talk.said == [] and talk.conversation.settings.system == "Be brief."
    take("Hello")
    assert take("/reset") == "[the conversation begins anew]\n"
    assert talk.said == [] and talk.conversation.settings.system == "Be brief."
    assert take("/system") == "[no system prompt]\n" and talk.conversation.settings.system is None
    with pytest.raises(UsageError, match="base model"):
        take("/system x", Talk(tiny_base))


def test_the_last_message_is_answered_again_and_changed(talk: Talk, take: Take, tiny_base: ServedModel) -> None:
    for early in ("/retry", "/edit x"):
        with pytest.raises(UsageError, match="yet"):
            take(early)
    take("One")
    take("/retry")
    take("/edit Two")
    assert talk.said == ["Two"] and len(talk.conversation.messages) == 2
    with pytest.raises(UsageError, match="/edit TEXT"):
        take("/edit")
    with pytest.raises(UsageError, match="ask it to go on"):
        take("/more")
    base = Talk(tiny_base)
    take("The river", base)
    assert take("/more", base).startswith("The river") and len(base.conversation.messages) == 3


def test_tokens_of_the_last_answer_are_shown(talk: Talk, take: Take) -> None:
    with pytest.raises(UsageError, match="no answer yet"):
        take("/tokens")
    take("/temperature 0")
    take("Hello")
    shown = take("/tokens").splitlines()
    assert "4 tokens, perplexity" in shown[-1] and shown[0] in talk.conversation.messages[-1].content
    assert len(take("/tokens 1").splitlines()) == len(shown) - len(talk.conversation.messages[-1].segments or ()) + 1
    for wrong in ("x", "0", "-1", "1.5", "9" * 5000):
        with pytest.raises(UsageError, match="whole number"):
            take(f"/tokens {wrong}")


def test_a_talk_is_saved_loaded_and_shown(talk: Talk, take: Take, tiny: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "a talk.json"
    with pytest.raises(UsageError, match="give a name"):
        take("/save")
    with pytest.raises(UsageError, match="nothing to save"):
        take(f"/save {path}")
    take("Hello")
    assert "the chat page reads it too" in take(f"/save {path}")
    take("Again")
    take("/save")
    shown = take("/show")
    assert shown.startswith("> Hello\n") and "\n> Again\n" in shown
    other = Talk(tiny)
    assert take(f"/load {path}", other) == shown
    assert other.conversation.messages == talk.conversation.messages
    take("More", other)
    take("/save", other)
    with pytest.raises(UsageError, match="cannot be read"):
        take(f"/load {tmp_path}/missing.json")
    with pytest.raises(UsageError, match="give the name of a file"):
        take("/load")
    assert talk.said == ["Hello", "Again"]


def test_one_of_several_conversations_is_chosen_and_their_file_is_not_written_over(talk: Talk, take: Take, tmp_path: Path) -> None:
    both = []
    for name in ("one", "two"):
        take("/reset")
        take(name)
        take(f"/save {tmp_path}/{name}.json")
        both.append((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    path = tmp_path / "all.json"
    path.write_text(f"[{','.join(both)}]", encoding="utf-8")
    with pytest.raises(UsageError, match="holds 2 conversations; choose one"):
        take(f"/load {path}")
    assert take(f"/load {path} 1").startswith("> one\n") and talk.said == ["one"]
    with pytest.raises(UsageError, match="give a name"):
        take("/save")
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(DataError, match="is not JSON"):
        take(f"/load {path}")


@pytest.mark.parametrize("name", ["~nosuchuser/talk.json", "a" * 300, "a" * 300 + " 1", "a\0b", "a\0b 2"])
@pytest.mark.parametrize("command", ["/save", "/load"])
def test_a_name_that_can_be_no_file_costs_nothing(command: str, name: str, talk: Talk, take: Take) -> None:
    take("Hello")
    with pytest.raises(UsageError):
        take(f"{command} {name}")
    assert talk.said == ["Hello"]


def test_quit_ends_it(talk: Talk, take: Take) -> None:
    assert not talk.commands.is_over
    take("/quit")
    assert talk.commands.is_over
