from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.evals.local import LocalModel
from pellucid.evals.subject import Decoding, Pair
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.chat import load_chat_format
from pellucid.tokenizer.training import train_bpe

TEXTS = [file.read_text(encoding="utf-8") for file in sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))]


@pytest.fixture(scope="module")
def subject() -> Iterator[LocalModel]:
    tokenizer = train_bpe(TEXTS, 512)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=48, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    chat = load_chat_format("plain", tokenizer, base=Path())
    yield LocalModel(model, tokenizer, chat)


def nats_of(subject: LocalModel, before: list[int], ids: list[int]) -> float:
    whole = torch.tensor([[*before, *ids]])
    with torch.no_grad():
        logits_TV = subject.model.logits(subject.model(whole[:, :-1]))[0].double()
    return (
        -torch.log_softmax(logits_TV, -1)[torch.arange(len(before) - 1, whole.shape[1] - 1), ids and torch.tensor(ids)].sum().item()
    )


def test_a_continuation_is_scored_after_its_context(subject: LocalModel) -> None:
    encode = subject.tokenizer.encode
    pairs = [Pair("the recipe", " has stages"), Pair("the recipe", " has sources"), Pair("", "the recipe")]
    found = subject.loglikelihoods(pairs)
    for pair, one in zip(pairs[:2], found, strict=False):
        context, whole = encode(pair.context), encode(pair.context + pair.continuation)
        assert one.nats == pytest.approx(nats_of(subject, context, whole[len(context) :]), abs=1e-4)
        assert one.tokens == len(whole) - len(context)
    assert found[2].nats == pytest.approx(nats_of(subject, [subject.tokenizer.eos_id], encode("the recipe")), abs=1e-4)


def test_a_long_context_loses_its_beginning(subject: LocalModel) -> None:
    long = "one two three four five six seven eight nine ten " * 10
    (whole,), (cut,) = (subject.loglikelihoods([Pair(text, "end of it")]) for text in (long, long[200:]))
    assert whole.dropped_tokens > cut.dropped_tokens > 0
    assert whole.nats == pytest.approx(cut.nats, abs=1e-4)


def test_a_continuation_longer_than_the_context_is_scored_whole(subject: LocalModel) -> None:
    text = " " + "one two three four five six seven eight nine ten " * 5
    (found,), (rolling,) = subject.loglikelihoods([Pair("to", text)]), subject.rolling([text])
    assert found.tokens == rolling.tokens == len(subject.tokenizer.encode(text)) > 48
    assert found.nats != rolling.nats and found.nats == pytest.approx(rolling.nats, rel=0.05)


def test_the_windows_of_a_text_add_up_to_it(subject: LocalModel) -> None:
    ids = subject.tokenizer.encode(TEXTS[0][:150])
    assert 48 < len(ids) <= 96
    found, empty = subject.rolling([TEXTS[0][:150], ""])
    first = nats_of(subject, [subject.tokenizer.eos_id], ids[:48])
    rest = len(ids) - 48
    second = nats_of(subject, ids[len(ids) - 48 - 1 : 48], ids[48:])
    assert found.tokens == len(ids) and rest > 0
    assert found.nats == pytest.approx(first + second, abs=2e-4)
    assert (empty.nats, empty.tokens) == (0, 0)


def test_an_answer_ends_before_its_stop_text(subject: LocalModel) -> None:
    prompts = ["the recipe", "a stage of", "one"]
    free = subject.complete(prompts, Decoding(max_new_tokens=16), [1, 2, 3])
    assert all(answer.new_tokens == 16 and answer.stopped_by == "length" for answer in free if answer.stopped_by != "stop")
    stop = free[0].text[5:8]
    held = subject.complete(prompts, Decoding(max_new_tokens=16, stop=(stop, "\x00never")), [1, 2, 3])
    assert held[0].text == free[0].text[: free[0].text.index(stop)]
    assert held[0].stopped_by == "stop"
    assert held[0].new_tokens < 16
    for before, after in zip(free, held, strict=True):
        assert before.text.startswith(after.text) and stop not in after.text


def test_answers_are_those_of_one_prompt_at_a_time(subject: LocalModel) -> None:
    prompts = ["the recipe", "a stage of the whole run, which is long", "one"]
    decoding = Decoding(max_new_tokens=8, temperature=0.9, top_k=20)
    together = subject.complete(prompts, decoding, [1, 2, 3])
    for prompt, seed, answer in zip(prompts, (1, 2, 3), together, strict=True):
        ids = subject.tokenizer.encode(prompt)
        stream = generate(
            subject.model, ids, max_new_tokens=8, temperature=0.9, top_k=20, seed=seed, stop_ids=[subject.tokenizer.eos_id]
        )
        assert answer.text == subject.tokenizer.decode_after(list(stream))
        assert answer.prompt_tokens == len(ids)


def test_a_prompt_without_room_loses_its_beginning(subject: LocalModel) -> None:
    (answer,) = subject.complete(["one two three four five six seven eight " * 8], Decoding(max_new_tokens=10), [1])
    assert answer.dropped_tokens > 0
    assert answer.prompt_tokens == 38
    (answer,) = subject.complete(["one two three four five six seven eight " * 8], Decoding(max_new_tokens=1000), [1])
    assert answer.prompt_tokens == 24
    assert answer.stopped_by in ("context", "stop")


def test_conversations_are_answered_in_the_chat_format(subject: LocalModel) -> None:
    conversation = [{"role": "user", "content": "Who?"}]
    (answer,) = subject.chat([conversation], Decoding(max_new_tokens=5), [1])
    assert subject.chat_format is not None
    ids = subject.chat_format.prompt(conversation)
    assert answer.prompt_tokens == len(ids)
    stream = generate(subject.model, ids, max_new_tokens=5, temperature=0, stop_ids=subject.chat_format.stop_ids)
    assert answer.text == subject.tokenizer.decode_after(list(stream))


def test_a_base_model_does_not_chat(subject: LocalModel) -> None:
    with pytest.raises(UsageError, match="base model"):
        LocalModel(subject.model, subject.tokenizer).chat([[{"role": "user", "content": "Who?"}]], Decoding(), [1])


def test_asking_leaves_mode_and_random_state_alone_and_is_counted(subject: LocalModel) -> None:
    mine = LocalModel(subject.model, subject.tokenizer)
    before = torch.get_rng_state()
    mine.model.train()
    mine.loglikelihoods([Pair("a", " b"), Pair("a", " c")])
    mine.complete(["a"], Decoding(max_new_tokens=3, temperature=1.0), [1])
    assert mine.model.training
    mine.model.eval()
    assert torch.equal(before, torch.get_rng_state())
    assert mine.usage.requests == 3 and 0 < mine.usage.new_tokens <= 3 and mine.usage.seconds > 0
