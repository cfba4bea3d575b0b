from pathlib import Path

import pytest

from pellucid.conversations.self_knowledge import SelfKnowledge, fold, load_self_knowledge
from pellucid.core.errors import PellucidWarning, UsageError
from pellucid.generate.batched import Completer, Completion
from pellucid.recipe.tuning import SelfKnowledgeConfig
from pellucid.stages.first_messages import ENOUGH_ATTEMPTS, FirstMessages, Speech, blocks_of, write_first_messages
from pellucid.tokenizer.bpe import BytePairTokenizer

KNOWN = load_self_knowledge(Path(__file__).parents[2] / "recipes" / "self_knowledge.yaml")


@pytest.fixture
def speech(chatml, tokenizer: BytePairTokenizer) -> Speech:  # type: ignore[no-untyped-def]
    return Speech(chatml, tokenizer)


def written(
    babbler: Completer, speech: Speech, folder: Path, *, count: int = 40, knows_chat: bool = False, known: SelfKnowledge = KNOWN
) -> FirstMessages:
    config = SelfKnowledgeConfig(facts="f", first_messages=count, message_tokens=24)
    return write_first_messages(config, known, speech, lambda: babbler, folder, 1, knows_chat=knows_chat)


@pytest.mark.parametrize("knows_chat", [False, True])
def test_messages_are_lines_of_text_all_different_and_every_sample_is_accounted_for(
    babbler: Completer, speech: Speech, tmp_path: Path, knows_chat: bool
) -> None:
    found = written(babbler, speech, tmp_path, knows_chat=knows_chat)
    texts = [message.text for message in found.kept]
    assert len(texts) == 40 == len({fold(text) for text in texts})
    assert found.sampled == 40 + found.dropped.total() and set(found.dropped) >= {"not text", "empty"}
    for text in texts:
        assert text == text.strip() and "\n" not in text and "\ufffd" not in text and any(c.isalnum() for c in text)
        assert len(speech.tokenizer.encode(text)) <= 24 + 1
    assert found.as_json()["kept"] == 40


def test_a_message_is_the_same_whatever_was_written_before_and_blocks_are_made_once(
    babbler: Completer, speech: Speech, tmp_path: Path
) -> None:
    whole = written(babbler, speech, tmp_path / "a")
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) > 1
    bytes_before = [file.read_bytes() for file in files]
    files[1].unlink()
    assert written(babbler, speech, tmp_path / "a").kept == whole.kept
    assert [file.read_bytes() for file in files] == bytes_before

    def never() -> Completer:
        raise AssertionError("nothing is missing")

    config = SelfKnowledgeConfig(facts="f", first_messages=40, message_tokens=24)
    again = write_first_messages(config, KNOWN, speech, never, tmp_path / "a", 1, knows_chat=False)
    assert again.as_json() == whole.as_json()


def test_a_heldout_question_is_never_a_first_message(babbler: Completer, speech: Speech, tmp_path: Path) -> None:
    first = written(babbler, speech, tmp_path / "a").kept
    first = max(first, key=lambda message: len(message.text))
    question = KNOWN.heldout[0]._replace(question=first.text.upper())
    known = SelfKnowledge(KNOWN.facts, KNOWN.first_messages, KNOWN.shots, (question,))
    found = written(babbler, speech, tmp_path / "a", known=known)
    assert first not in found.kept and found.dropped["held-out question"] == 1 and len(found.kept) == 40


def test_a_model_that_says_one_thing_only_is_not_asked_for_ever(speech: Speech, tmp_path: Path) -> None:
    class Parrot(Completer):
        def complete(self, prompts, **_):  # type: ignore[no-untyped-def, override]
            line = speech.tokenizer.encode("Hello there\n")
            return [Completion(line[:-1], line[-1])] * len(prompts)

        context_tokens = 160  # type: ignore[assignment]

    config = SelfKnowledgeConfig(facts="f", first_messages=10)
    with pytest.warns(PellucidWarning, match=r"1 different first messages were found in 80 samples; first_messages is 10"):
        found = write_first_messages(config, KNOWN, speech, lambda: Parrot(None), tmp_path, 1, knows_chat=False)  # type: ignore[arg-type]
    assert found.sampled == 10 * ENOUGH_ATTEMPTS and found.dropped == {"duplicate": 79} and found.kept[0].text == "Hello there"


def test_a_context_without_room_for_one_example_is_named(babbler: Completer, speech: Speech, tmp_path: Path) -> None:
    config = SelfKnowledgeConfig(facts="f", first_messages=4, message_tokens=198)
    with pytest.raises(UsageError, match="leaves 2 tokens besides message_tokens"):
        write_first_messages(config, KNOWN, speech, lambda: babbler, tmp_path, 1, knows_chat=False)


def test_an_answer_of_no_use_says_why(speech: Speech) -> None:
    special, encode = speech.tokenizer.special, speech.tokenizer.encode
    end = special["<|im_end|>"]
    assert speech.text(Completion(encode(" Good day. "), end)) == ("Good day.", None)
    assert speech.text(Completion(encode("Good"), None))[1] == "no end"
    assert speech.text(Completion(encode("Good"), special["<|fim_pad|>"]))[1] == "special token"
    assert speech.text(Completion(encode("é")[:1], end))[1] == "not text"
    assert speech.text(Completion(encode(" – ?"), end))[1] == "empty"
    assert special["<|reg0|>"] in speech.ends and end in speech.ends


def test_a_block_is_made_once_and_read_ever_after(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "block.jsonl"
    assert blocks_of(file, lambda: iter([{"a": "ü"}, {"a": None}])) == [{"a": "ü"}, {"a": None}]
    assert blocks_of(file, lambda: pytest.fail("made twice")) == [{"a": "ü"}, {"a": None}]
    with pytest.raises(ZeroDivisionError):
        blocks_of(tmp_path / "other.jsonl", lambda: ({"a": 1 // number} for number in (1, 0)))
    assert not (tmp_path / "other.jsonl").exists()
