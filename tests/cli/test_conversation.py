import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.conversation import Conversation
from pellucid.core.errors import UsageError
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.training import train_bpe

chats = pytest.importorskip("pellucid.tokenizer.chat")

SHAPE: dict[str, Any] = {
    "vocab_tokens": 600, "context_tokens": 96, "layers": 1, "hidden": 32, "heads": 2, "kv_heads": 2, "mlp_hidden": 32,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True,
}  # fmt: skip

Open = Callable[..., Conversation]


class Recording:
    """The chat format, which also keeps the messages that it was asked to render last."""

    def __init__(self, chat: Any) -> None:
        self._chat, self.stop_ids, self.exported = chat, chat.stop_ids, chat.exported
        self.asked: list[list[tuple[str, str]]] = []

    def encode(self, messages: Any) -> Any:
        return self._chat.encode(messages)

    def prompt(self, messages: Any) -> Any:
        self.asked.append([(message["role"], message["content"]) for message in messages])
        return self._chat.prompt(messages)


@pytest.fixture(scope="module")
def vocabulary() -> BytePairTokenizer:
    return train_bpe(probe_texts(), 600)


@pytest.fixture
def chat(vocabulary: BytePairTokenizer) -> Recording:
    return Recording(chats.load_chat_format("chatml", vocabulary, base=Path()))


@pytest.fixture
def open_conversation(vocabulary: BytePairTokenizer, chat: Recording) -> Open:
    model = Decoder(ModelConfig(**SHAPE))
    init_weights(model, 3)

    def make(**settings: Any) -> Conversation:
        given = {"system": None, "new_tokens": 8, "temperature": 1.0, "top_k": 50, "seed": 1} | settings
        return Conversation(model, vocabulary, chat, Namespace(**given))

    return make


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_turns_are_kept_and_an_answer_is_what_was_printed(
    open_conversation: Open, chat: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation(system="Be brief.")
    conversation.say("Hello")
    printed = capsys.readouterr().out
    conversation.say("And now?")
    *start, (role, answer), last = chat.asked[-1]
    assert start == [("system", "Be brief."), ("user", "Hello")]
    assert (role, last) == ("assistant", ("user", "And now?"))
    assert printed.startswith(answer) and answer
    assert "cut off after 8 tokens; --new-tokens N allows more" in printed


def test_commands_change_what_is_said_next(
    open_conversation: Open, chat: Recording, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("One\n/retry\n/reset\nTwo\n/system  Be kind. \nThree\n/system\nFour\n/what\n/quit\nnot read\n")
    open_conversation().talk()
    assert chat.asked == [
        [("user", "One")],
        [("user", "One")],
        [("user", "Two")],
        [("system", "Be kind."), ("user", "Three")],
        [("user", "Four")],
    ]
    shown = capsys.readouterr().out
    assert shown.count("the conversation begins anew") == 2
    assert "[/reset begins anew, /system TEXT sets the system prompt, /retry answers again, /quit ends]" in shown


def test_retry_gives_another_answer_and_has_nothing_to_do_before_the_first(
    open_conversation: Open, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("/retry\nOne\n/retry\n\n")
    open_conversation().talk()
    nothing, first, second, *_ = capsys.readouterr().out.splitlines()
    assert nothing == "[there is no answer yet]"
    assert first != second


def test_the_oldest_turns_go_when_the_context_is_full_and_that_is_said(
    open_conversation: Open, chat: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation()
    for number in range(6):
        conversation.say(f"Question {number}, which is not so short a question")
    assert "[the context of 96 tokens is full: the oldest 2 messages are left out]" in capsys.readouterr().out
    assert chat.asked[-1][0][1] != "Question 0, which is not so short a question"
    assert chat.asked[-1][-1][1].startswith("Question 5")


def test_a_message_that_cannot_be_answered_is_told_and_forgotten(
    open_conversation: Open, chat: Recording, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation()
    with pytest.raises(UsageError, match="the context holds 96"):
        conversation.say("word " * 200)
    typed("word " * 200 + "\nShort\n\n")
    conversation.talk()
    assert "the context holds 96: shorten it]" in capsys.readouterr().out
    assert chat.asked[-1] == [("user", "Short")]


def test_equal_seeds_give_equal_conversations(open_conversation: Open, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for seed in (1, 1, 2):
        conversation = open_conversation(seed=seed)
        conversation.say("Hello")
        conversation.say("Again")
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
