import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.chat_file import Kept, KeptMessage, read_file
from pellucid.cli.chat_settings import ChatSettings
from pellucid.cli.conversation import Conversation
from pellucid.cli.terminal import Terminal
from pellucid.core.errors import DataError, UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.engine import GenerationRequest
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Decoder
from pellucid.serve.model import ServedModel

Open = Callable[..., Conversation]
GREEDY = Sampling(temperature=0)


class Recording:
    """The chat format, which also keeps the messages that it was asked to render last."""

    def __init__(self, chat: Any) -> None:
        self._chat, self.stop_ids = chat, chat.stop_ids
        self.asked: list[list[tuple[str, str]]] = []

    def prompt(self, messages: Any) -> Any:
        self.asked.append([(message["role"], message["content"]) for message in messages])
        return self._chat.prompt(messages)


@pytest.fixture
def chat(tiny: ServedModel) -> Recording:
    return Recording(tiny.chat)


@pytest.fixture
def open_conversation(tiny: ServedModel, chat: Recording) -> Open:
    def make(base: ServedModel | None = None, **settings: Any) -> Conversation:
        model = base or dataclasses.replace(tiny, chat=chat)  # type: ignore[arg-type]
        return Conversation(model, ChatSettings(**{"new_tokens": 8} | settings), Terminal())

    return make


def test_turns_are_kept_and_an_answer_is_what_the_model_alone_writes(
    open_conversation: Open, chat: Recording, decoder: Decoder, tiny: ServedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation(system="Be brief.", sampling=GREEDY)
    found = conversation.say("Hello")
    printed = capsys.readouterr().out
    ids = chat.prompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}])
    alone = tiny.tokenizer.decode(list(generate(decoder, ids, max_new_tokens=8, temperature=0, stop_ids=chat.stop_ids)))
    assert found.text == alone and printed.startswith(alone)
    assert "cut off after 8 tokens; --new-tokens N, or /new-tokens N, allows more" in printed
    conversation.say("And now?")
    expected = [("system", "Be brief."), ("user", "Hello"), ("assistant", alone), ("user", "And now?")]
    assert chat.asked[-1] == expected
    assert [one.role for one in conversation.messages] == ["user", "assistant"] * 2


def test_retry_draws_another_answer_to_the_same(open_conversation: Open, chat: Recording) -> None:
    conversation = open_conversation()
    with pytest.raises(UsageError, match="no answer yet"):
        conversation.retry()
    first, second = conversation.say("One"), conversation.retry()
    assert first.text != second.text and chat.asked[0] == chat.asked[1] == [("user", "One")]
    assert [one.content for one in conversation.messages] == ["One", second.text]


def test_edit_changes_the_last_message_only(open_conversation: Open, chat: Recording) -> None:
    conversation = open_conversation()
    with pytest.raises(UsageError, match="no message yet"):
        conversation.edit("x")
    first = conversation.say("One")
    conversation.say("Two")
    conversation.edit("Three")
    assert chat.asked[-1] == [("user", "One"), ("assistant", first.text), ("user", "Three")]
    assert conversation.question == "Three" and len(conversation.messages) == 4


def test_equal_seeds_give_equal_conversations(open_conversation: Open) -> None:
    texts = []
    for seed in (1, 1, None, 2):
        conversation = open_conversation(seed=seed)
        texts.append([conversation.say("Hello").text, conversation.say("Again").text, conversation.retry().text])
    assert texts[0] == texts[1] == texts[2] != texts[3]


def test_the_oldest_go_unread_when_the_context_is_full_but_stay_in_the_conversation(
    open_conversation: Open, chat: Recording, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    conversation = open_conversation(sampling=GREEDY)
    for number in range(9):
        conversation.say(f"Question {number}, which is not so short a question")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[the context")]
    assert said[0] == "[the context of 128 tokens is full: the oldest 2 messages are left out]"
    assert said[-1] == f"[the context of 128 tokens is full: the oldest {18 - len(chat.asked[-1]) - 1} messages are left out]"
    assert chat.asked[-1][0][0] == "user" and chat.asked[-1][-1][1].startswith("Question 8")
    conversation.save(tmp_path / "talk.json")
    assert len(read_file(tmp_path / "talk.json")[0].messages) == 18


def test_a_message_that_cannot_be_answered_is_forgotten(open_conversation: Open, chat: Recording) -> None:
    conversation = open_conversation()
    conversation.say("One")
    before = list(conversation.messages)
    with pytest.raises(UsageError, match="the context holds 128"):
        conversation.say("word " * 200)
    with pytest.raises(DataError):
        conversation.edit("\ud800")
    assert conversation.messages == before


def test_ctrl_c_keeps_what_was_written(
    open_conversation: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation(new_tokens=90, sampling=GREEDY)
    shown = []
    stream = Terminal.stream

    def count(self: Terminal, text: str) -> None:
        stream(self, text)
        shown.append(text)
        if len(shown) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Terminal, "stream", count)
    found = conversation.say("One")
    assert conversation.was_stopped and found.end == "stopped"
    assert conversation.messages[-1].content == "".join(shown) and conversation.messages[-1].end == "stopped"
    assert capsys.readouterr().out == "".join(shown) + " [stopped by you]\n"
    conversation.say("Two")
    assert not conversation.was_stopped


def test_ctrl_c_before_the_first_word_changes_nothing(
    open_conversation: Open, tiny: ServedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation(sampling=GREEDY)
    conversation.say("One")
    before = list(conversation.messages)
    capsys.readouterr()
    # Others are before it in the queue, for much longer than it takes to press Ctrl-C.
    long = GenerationRequest((1,), 120, GREEDY)
    others = [tiny.engine.submit(long, lambda _: None) for _ in range(300)]
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    found = conversation.edit("Two")
    for other in others:
        other.cancel()
    assert (found.text, found.end) == ("", "stopped") and conversation.messages == before
    assert capsys.readouterr().out.strip() == "[stopped before anything was written]"


def test_a_conversation_goes_on_from_a_file_as_if_it_had_never_stopped(open_conversation: Open, tmp_path: Path) -> None:
    conversation = open_conversation(seed=3, stop=("\n\n",))
    with pytest.raises(UsageError, match="nothing to save"):
        conversation.save(tmp_path / "talk.json")
    conversation.say("One")
    conversation.say("Two")
    conversation.save(tmp_path / "talk.json")
    other = open_conversation(new_tokens=3)
    other.load(read_file(tmp_path / "talk.json")[0])
    assert other.settings == conversation.settings and other.messages == conversation.messages
    assert other.say("Three").text == conversation.say("Three").text
    other.save(tmp_path / "talk.json")
    (kept,) = json.loads(f"[{(tmp_path / 'talk.json').read_text(encoding='utf-8')}]")
    assert len(kept["messages"]) == 6 and kept["settings"]["seed"] == 3
    answer = kept["messages"][-1]
    assert "".join(one[0] for one in answer["segments"]) == answer["content"]
    assert (answer["limit"], answer["model"], answer["tokens"]) == (8, "tiny", sum(one[3] for one in answer["segments"]))


def test_a_base_model_goes_on_with_a_text_and_begins_anew_with_the_next(
    open_conversation: Open, tiny_base: ServedModel, decoder: Decoder, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = open_conversation(tiny_base, sampling=GREEDY)
    with pytest.raises(UsageError, match="no text yet"):
        conversation.go_on()
    conversation.say("Another text")
    capsys.readouterr()
    first, second = conversation.say("The river"), conversation.go_on()
    ids = [*tiny_base.tokenizer.encode("The river")]
    whole = tiny_base.tokenizer.decode([*ids, *generate(decoder, ids, max_new_tokens=16, temperature=0)])
    # Between the two the text was encoded anew, which may cut it into other tokens.
    assert "The river" + first.text == whole[: len("The river" + first.text)]
    assert capsys.readouterr().out == f"The river{first.text}\nThe river{first.text}{second.text}\n"
    assert [one.content for one in conversation.messages] == ["The river", first.text, second.text]
    assert conversation.retry().text == second.text


def test_a_text_of_a_model_of_ours_begins_after_the_end_of_another(
    open_conversation: Open, tiny_base: ServedModel, decoder: Decoder
) -> None:
    class Checkpoint:
        def __init__(self) -> None:
            self.identity = {"kind": "checkpoint"}

        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_base.engine, name)

    conversation = open_conversation(dataclasses.replace(tiny_base, engine=Checkpoint()), sampling=GREEDY)  # type: ignore[arg-type]
    ids = [tiny_base.tokenizer.eos_id, *tiny_base.tokenizer.encode("The river")]
    expected = tiny_base.tokenizer.decode(list(generate(decoder, ids, max_new_tokens=8, temperature=0)))
    assert conversation.say("The river").text == expected


def test_of_a_text_that_is_too_long_the_end_is_read(
    open_conversation: Open, tiny_base: ServedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(open_conversation(tiny_base, sampling=GREEDY).say("word " * 300).tokens) == 8
    assert "[the context of 128 tokens is full: only the end of the text was read]" in capsys.readouterr().out


def test_system_prompts_are_for_models_that_answer(open_conversation: Open, tiny_base: ServedModel) -> None:
    with pytest.raises(UsageError, match="base model"):
        open_conversation(tiny_base, system="Be brief.")
    kept = Kept.model_validate({"settings": {"system": "Be brief."}, "messages": []})
    with pytest.raises(UsageError, match="base model"):
        open_conversation(tiny_base).load(kept)


def test_settings_of_a_file_that_cannot_be_are_refused_and_change_nothing(open_conversation: Open) -> None:
    conversation = open_conversation()
    kept = Kept.model_validate({"settings": {"top_p": 7.0}, "messages": [KeptMessage(role="user", content="a")]})
    before = conversation.settings
    with pytest.raises(UsageError, match=r"top_p is 7\.0"):
        conversation.load(kept)
    assert conversation.settings == before and not conversation.messages
