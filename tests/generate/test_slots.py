import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.generate.sampling import Sampling, SeenTokens, choose
from pellucid.generate.slots import Slots, Stream, draw
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=48, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.4,
)  # fmt: skip
GREEDY = Sampling(0)


@pytest.fixture(scope="module")
def model() -> Decoder:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    return model.eval()


def stream_of(*ids: int, room: int = 9, sampling: Sampling = GREEDY, whole: bool = False) -> Stream:
    return Stream(ids, room, sampling, 0, whole=whole)


def logits_alone(model: Decoder, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model(torch.tensor([ids])))[0, -1]


@settings(max_examples=40, deadline=None)
@given(
    prompts=st.lists(st.lists(st.sampled_from([1, 1, 1, 2]), min_size=1, max_size=30), min_size=1, max_size=9),
    budget=st.integers(1, 40),
    patience=st.integers(1, 9),
)
def test_every_stream_sees_the_logits_that_it_sees_alone_whatever_was_in_its_slot(
    model: Decoder, prompts: list[list[int]], budget: int, patience: int
) -> None:
    slots, waiting = Slots(model, 3), [Stream(prompt, 1 + at % patience, GREEDY, at) for at, prompt in enumerate(prompts)]
    left = list(waiting)
    with torch.no_grad():
        while left:
            while waiting and slots.admit(waiting[0]):
                waiting.pop(0)
            step = slots.step(budget)
            for stream, logits_V, id_ in zip(step.ready, step.logits_RV, draw(step.ready, step.logits_RV), strict=True):
                torch.testing.assert_close(logits_V, logits_alone(model, stream.ids), atol=1e-4, rtol=1e-4)
                if stream.take(id_):
                    slots.release(stream)
                    left.remove(stream)
    assert not slots.streams and not waiting


def test_a_step_reads_one_token_of_each_text_and_as_much_of_prompts_as_it_may(model: Decoder) -> None:
    slots = Slots(model, 3)
    first, second, third = stream_of(1), stream_of(*range(10)), stream_of(*range(20, 30))
    with torch.no_grad():
        assert slots.admit(first) and not slots.writing
        (read,) = slots.step(6).read
        assert (read.start, len(read.x_TD)) == (0, 1) and slots.writing
        first.take(5)
        assert slots.admit(second) and slots.admit(third)
        seen = []
        while not third.full:
            step = slots.step(6)
            seen.append([(one.stream.ids[0], one.start, len(one.x_TD)) for one in step.read])
            for stream in step.ready:
                stream.take(5)
            if third in step.ready:
                break
    assert seen == [
        [(1, 1, 1), (0, 0, 6)],
        [(1, 2, 1), (0, 6, 4), (20, 0, 2)],
        [(1, 3, 1), (0, 10, 1), (20, 2, 6)],
        [(1, 4, 1), (0, 11, 1), (20, 8, 2)],
    ]


def test_there_is_no_more_room_than_there_are_slots(model: Decoder) -> None:
    slots = Slots(model, 1)
    first, second = stream_of(1, 2), stream_of(3, 4)
    assert slots.admit(first) and not slots.admit(second)
    slots.release(first)
    assert slots.admit(second) and list(slots.streams.values()) == [second]


def test_the_longest_beginning_is_taken_over_and_what_it_came_from_stays(model: Decoder) -> None:
    slots = Slots(model, 3)
    with torch.no_grad():
        for ids in (range(20), (*range(8), 50, 51)):
            stream = stream_of(*ids)
            assert slots.admit(stream)
            slots.step(99)
            slots.release(stream)
        short = stream_of(*range(5), 40)
        assert slots.admit(short) and short.reused == 5
        long = stream_of(*range(18), 41)
        assert slots.admit(long) and long.reused == 18
        step = slots.step(99)
        for stream, logits_V in zip(step.ready, step.logits_RV, strict=True):
            torch.testing.assert_close(logits_V, logits_alone(model, stream.ids), atol=1e-4, rtol=1e-4)
    assert short.slot != long.slot


def test_a_prompt_whose_hidden_states_are_asked_for_takes_nothing_over_and_spoilt_tokens_are_forgotten(model: Decoder) -> None:
    slots, first = Slots(model, 2), stream_of(1, 2, 3, 4)
    with torch.no_grad():
        slots.admit(first)
        slots.step(99)
        whole = stream_of(1, 2, 3, 4, whole=True)
        assert slots.admit(whole) and whole.reused == 0
        read = next(one for one in slots.step(99).read if one.stream is whole)
        torch.testing.assert_close(read.x_TD, model(torch.tensor([[1, 2, 3, 4]]))[0], atol=1e-5, rtol=1e-5)
        slots.release(first, spoilt=True)
        slots.release(whole, spoilt=True)
        again = stream_of(1, 2, 3, 4)
        assert slots.admit(again) and again.reused == 0


def test_a_prompt_waits_for_one_that_reads_the_same_long_beginning_and_for_no_short_one(model: Decoder) -> None:
    slots = Slots(model, 3)
    with torch.no_grad():
        assert slots.admit(stream_of(*range(30), 50))
        alike = stream_of(*range(30), 51)
        assert not slots.admit(alike)
        assert slots.admit(stream_of(*range(9), 52))
        slots.step(99)
        assert slots.admit(alike) and alike.reused == 30


def test_tokens_are_drawn_by_each_streams_own_sampling_seed_and_past() -> None:
    logits_RV = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    samplings = [
        GREEDY,
        Sampling(),
        Sampling(0.7, top_k=5),
        Sampling(1.2, repetition_penalty=3.0),
        Sampling(0, frequency_penalty=9.0),
    ]
    streams = [Stream((1, 2), 9, sampling, seed) for seed, sampling in enumerate(samplings)]
    best = int(logits_RV[4].argmax())
    for stream in streams:
        stream.take(best)
    expected = [
        choose(logits_V, stream.sampling, torch.Generator().manual_seed(stream.seed), SeenTokens((1, 2), (best,)))
        for stream, logits_V in zip(streams, logits_RV, strict=True)
    ]
    assert draw(streams, logits_RV) == expected and expected[4] != best
    with pytest.raises(ArtifactError, match="NaN"):
        draw(streams[:1], torch.full((1, 40), float("nan")))


def test_a_stream_ends_by_its_room_or_a_stop_id_that_is_not_its_own() -> None:
    stream = Stream((1,), 2, GREEDY, 0, frozenset({7}))
    assert not stream.take(5) and not stream.full
    assert stream.take(7) and stream.stopped_by == 7 and stream.new == [5]
    assert Stream((1,), 1, GREEDY, 0).take(5) and Stream((1,), 0, GREEDY, 0).full


@torch.no_grad()
def test_what_was_tried_and_not_taken_leaves_no_trace(model: Decoder) -> None:
    slots = Slots(model, 2)
    stream = stream_of(3, 1, 4, room=20)
    assert slots.admit(stream)
    slots.step(99)
    stream.take(5)
    logits_NV = slots.try_out(stream, [9, 2, 6])
    for row, ids in enumerate(([3, 1, 4, 5], [3, 1, 4, 5, 9], [3, 1, 4, 5, 9, 2], [3, 1, 4, 5, 9, 2, 6])):
        assert torch.allclose(logits_NV[row], logits_alone(model, ids), atol=1e-4)
    # The first proposal is taken, another token follows it.
    stream.take(9)
    stream.take(8)
    slots.settle(stream)
    (after_V,) = slots.step(99).logits_RV
    assert torch.allclose(after_V, logits_alone(model, [3, 1, 4, 5, 9, 8]), atol=1e-4)
    other = stream_of(3, 1, 4, 5, 9, 2, 6, 7)
    assert slots.admit(other) and other.reused == 5
