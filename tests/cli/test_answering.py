import math
import random
import signal

import pytest
import torch

from pellucid.cli.answering import TOP, Answer, answer
from pellucid.generate.decoding import generate
from pellucid.generate.engine import GenerationRequest, Token
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Decoder
from pellucid.serve.answers import ShownToken
from pellucid.serve.model import ServedModel
from pellucid.serve.text import TextStream


def request(model: ServedModel, text: str = "The river", new_tokens: int = 12, **more: object) -> GenerationRequest:
    ids = tuple(model.tokenizer.encode(text))
    sampling = more.pop("sampling", Sampling(temperature=0))
    return GenerationRequest(ids, new_tokens, sampling, top_logprobs=TOP, **more)  # type: ignore[arg-type]


def test_what_is_shown_is_what_the_decoder_alone_writes(tiny: ServedModel, decoder: Decoder) -> None:
    shown: list[str] = []
    found = answer(tiny, request(tiny), (), shown.append)
    ids = list(generate(decoder, tiny.tokenizer.encode("The river"), max_new_tokens=12, temperature=0))
    assert found.text == "".join(shown) == tiny.tokenizer.decode(ids)
    assert (shown[0], found.end, found.error, found.count) == ("", "length", None, 12)


def test_segments_are_the_text_with_the_models_own_probabilities(tiny: ServedModel, decoder: Decoder) -> None:
    found = answer(tiny, request(tiny), (), lambda _: None)
    segments = found.segments(tiny)
    assert "".join(one[0] for one in segments) == found.text
    prompt = tiny.tokenizer.encode("The river")
    ids = list(generate(decoder, prompt, max_new_tokens=12, temperature=0))
    with torch.no_grad():
        log_p = torch.log_softmax(decoder.logits(decoder(torch.tensor([[*prompt, *ids]])))[0], dim=-1)
    total = sum(float(log_p[len(prompt) - 1 + at, id_]) for at, id_ in enumerate(ids))
    assert math.isclose(sum(one[1] or 0 for one in segments), total, abs_tol=1e-3)
    assert sum(one[3] for one in segments) == 12
    alone = [one for one in segments if one[3] == 1]
    # The likeliest was taken each time, so it is the first of those that might have stood there.
    assert alone and all(len(one[2]) == TOP and math.isclose(one[2][0][1], one[1] or 0, abs_tol=1e-6) for one in alone)


def test_characters_cut_anywhere_are_joined_and_special_tokens_left_out(tiny: ServedModel) -> None:
    """Any text in any tokens, one byte each among them, cut off anywhere by a stop text: segments joined are the text."""
    draw = random.Random(0)
    special = set(tiny.tokenizer.special.values())
    by_byte = {tiny.own_bytes(id_): id_ for id_ in range(tiny.tokenizer.vocab_tokens) if id_ not in special}
    for _ in range(200):
        data = "".join(draw.choices(["a", " the", "é", "😀", "\n", "\ufeff", "語"], k=draw.randint(1, 9))).encode()
        stream, tokens, text = TextStream(), [], ""
        while data:
            size = next(size for size in range(draw.randint(1, 5), 0, -1) if data[:size] in by_byte)
            tokens.append(ShownToken(Token(by_byte[data[:size]], -0.5, ((1, -0.5),)), stream.decoded))
            text += stream.add(data[:size])
            data = data[size:]
            if draw.random() < 0.1:
                tokens.append(ShownToken(Token(tiny.tokenizer.eos_id, -0.1), stream.decoded))
        text = (text + stream.end())[: len(text) - draw.randint(0, 3)]
        segments = Answer(text, tokens).segments(tiny)
        assert "".join(one[0] for one in segments) == text
        assert all(math.isclose(one[1] or 0, -0.5 * one[3]) and bool(one[2]) == (one[3] == 1) for one in segments)


def test_a_stop_text_ends_it_and_an_end_of_text_too(tiny: ServedModel) -> None:
    whole = answer(tiny, request(tiny), (), lambda _: None).text
    stop = whole[4:6]
    cut = answer(tiny, request(tiny), (stop,), lambda _: None)
    assert cut.text == whole[: whole.index(stop)] and cut.end is None
    bias = Sampling(temperature=0, logit_bias=((tiny.tokenizer.eos_id, 1e6),))
    ended = answer(tiny, request(tiny, sampling=bias, stop_ids=frozenset({tiny.tokenizer.eos_id})), (), lambda _: None)
    assert (ended.text, ended.end, ended.count, ended.segments(tiny)) == ("", None, 0, [])


def test_a_full_context_is_told_from_the_limit_of_an_answer(tiny: ServedModel) -> None:
    assert answer(tiny, request(tiny, new_tokens=500), (), lambda _: None).end == "context"


def test_ctrl_c_stops_the_answer_keeps_what_was_shown_and_frees_the_slot(tiny: ServedModel) -> None:
    shown: list[str] = []

    def show(text: str) -> None:
        shown.append(text)
        if len(shown) == 5:
            signal.raise_signal(signal.SIGINT)

    before = tiny.engine.stats()
    found = answer(tiny, request(tiny, new_tokens=120), (), show)
    assert found.end == "stopped" and found.text == "".join(shown) != ""
    assert "".join(one[0] for one in found.segments(tiny)) == found.text
    after = answer(tiny, request(tiny, new_tokens=1), (), lambda _: None)
    assert after.end == "length"
    stats = tiny.engine.stats()
    assert (stats.running, stats.waiting, stats.cancelled - before.cancelled) == (0, 0, 1)


def test_what_the_engine_refuses_or_fails_at_is_told(tiny: ServedModel) -> None:
    found = answer(tiny, request(tiny, "word " * 200), (), lambda _: None)
    assert found.end == "broken" and "context_tokens is 128" in (found.error or "")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_model_is_named(value: float, tiny: ServedModel, decoder: Decoder) -> None:
    import copy
    import dataclasses

    from pellucid.generate.torch_engine import TorchEngine

    damaged = copy.deepcopy(decoder)
    with torch.no_grad():
        damaged.head.weight[3] = value
    model = dataclasses.replace(tiny, engine=TorchEngine(damaged, slots=1))
    try:
        found = answer(model, request(model), (), lambda _: None)
    finally:
        model.engine.close()
    assert found.end == "broken" and "no numbers" in (found.error or "") and found.text == ""
