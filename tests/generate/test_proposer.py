import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.engine import Event, Finished, GenerationRequest, Token
from pellucid.generate.proposer import Proposer
from pellucid.generate.sampling import Sampling
from pellucid.generate.slots import Stream
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=48, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip
SAMPLINGS = [
    Sampling(0),
    Sampling(0.7, top_k=8),
    Sampling(1.3, top_p=0.9, repetition_penalty=1.2, frequency_penalty=0.3, logit_bias=((5, 2.0),)),
]


def made(seed: int, config: ModelConfig = CONFIG) -> Decoder:
    model = Decoder(config)
    init_weights(model, seed)
    return model.eval()


def near(model: Decoder, size: float) -> Decoder:
    """The same weights moved a little: a small model that often agrees."""
    other = made(1, model.config)
    with torch.no_grad():
        for at, (own, its) in enumerate(zip(other.parameters(), model.parameters(), strict=True)):
            noise = torch.randn(its.shape, generator=torch.Generator().manual_seed(at))
            own.copy_(its + size * noise * (its.std() if its.numel() > 1 else 0))
    return other


MODEL = made(1)
DRAFTS = {"itself": MODEL, "near": near(MODEL, 0.01), "stranger": made(7)}
DRAFTS["short"] = made(1, CONFIG.model_copy(update={"context_tokens": 12}))


def answers(engine: TorchEngine, requests: list[GenerationRequest]) -> list[list[Event]]:
    """The events of requests that come one after another, each alone."""
    heard: list[list[Event]] = []
    for request in requests:
        events: list[Event] = []
        over = threading.Event()

        def hear(event: Event, events: list[Event] = events, over: threading.Event = over) -> None:
            events.append(event)
            if isinstance(event, Finished):
                over.set()

        engine.submit(request, hear)
        assert over.wait(30)
        heard.append(events)
    return heard


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "top-k", "penalties"])
def test_an_answer_is_the_same_whatever_is_proposed(draft: str, sampling: Sampling) -> None:
    engine = TorchEngine(MODEL, slots=2, proposer=Proposer(DRAFTS[draft]))
    prompts = [(1, 2, 3), (1, 2, 3, 9, 9), (50, 4), (1, 2, 3)]
    requests = [GenerationRequest(ids, 20, sampling, seed=at, stop_ids=frozenset({17})) for at, ids in enumerate(prompts)]
    try:
        for request, events in zip(requests, answers(engine, requests), strict=True):
            alone = generate(MODEL, request.ids, max_new_tokens=20, sampling=sampling, seed=request.seed, stop_ids=(17,))
            assert [event.id for event in events if isinstance(event, Token)] == list(alone)
            end = events[-1]
            assert isinstance(end, Finished) and (end.reason, end.stopped_by) == (alone.stop_reason, alone.stopped_by)
        stats = engine.stats()
        assert 0 <= stats.accepted_tokens <= stats.proposed_tokens and stats.proposed_tokens > 0
        if draft == "itself":
            assert stats.accepted_tokens == stats.proposed_tokens
        if draft == "near":
            assert stats.accepted_tokens > stats.proposed_tokens / 5
    finally:
        engine.close()


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.integers(0, 12)), min_size=2, max_size=5),
    st.sampled_from(SAMPLINGS),
)
def test_company_that_comes_and_goes_changes_no_answer(asked: list[tuple[list[int], int]], sampling: Sampling) -> None:
    engine = TorchEngine(MODEL, slots=3, prompt_tokens=4, proposer=Proposer(DRAFTS["near"]))
    heard: list[list[Event]] = [[] for _ in asked]
    overs = [threading.Event() for _ in asked]

    def hear(at: int, event: Event) -> None:
        heard[at].append(event)
        if isinstance(event, Finished):
            overs[at].set()

    try:
        for at, (ids, new) in enumerate(asked):
            engine.submit(GenerationRequest(tuple(ids), new, sampling, seed=at), lambda event, at=at: hear(at, event))  # type: ignore[misc]
        assert all(over.wait(30) for over in overs)
    finally:
        engine.close()
    for at, (ids, new) in enumerate(asked):
        expected = list(generate(MODEL, ids, max_new_tokens=new, sampling=sampling, seed=at))
        assert [event.id for event in heard[at] if isinstance(event, Token)] == expected


def test_log_probabilities_are_the_large_models() -> None:
    request = GenerationRequest((3, 1, 4), 16, Sampling(0.8), seed=5, top_logprobs=2)
    both = []
    for proposer in (None, Proposer(DRAFTS["near"])):
        engine = TorchEngine(MODEL, proposer=proposer)
        both.append([event for event in answers(engine, [request])[0] if isinstance(event, Token)])
        engine.close()
    assert [token.id for token in both[0]] == [token.id for token in both[1]]
    for one, other in zip(*both, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4) and one.top[0][0] == other.top[0][0]


def test_an_answer_given_up_between_two_accepted_tokens_says_no_more() -> None:
    engine = TorchEngine(MODEL, proposer=Proposer(MODEL))
    events: list[Event] = []
    over = threading.Event()

    def hear(event: Event) -> None:
        events.append(event)
        if len(events) == 3:
            handle.cancel()
        if isinstance(event, Finished):
            over.set()

    ready = threading.Event()
    engine.submit(GenerationRequest((60,), 0, Sampling(0)), lambda event: ready.wait(30) and None)
    handle = engine.submit(GenerationRequest((1, 2), 40, Sampling(0)), hear)
    ready.set()
    assert over.wait(30)
    engine.close()
    assert len(events) == 4 and isinstance(events[-1], Finished) and events[-1].reason == "cancelled"


def test_a_long_text_is_read_by_pieces_and_what_is_damaged_proposes_nothing() -> None:
    config = CONFIG.model_copy(update={"context_tokens": 600})
    small = made(3, config)
    proposer = Proposer(small, 2)
    stream = Stream([index % 61 for index in range(550)], 20, Sampling(0), 0)
    assert [len(proposer.propose(stream)) for _ in range(3)] == [0, 0, 2]
    expected = list(generate(small, stream.ids, max_new_tokens=2, temperature=0))
    assert proposer.propose(stream) == expected
    with torch.no_grad():
        small.norm.weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    assert proposer.propose(replace(stream, prompt=[5, 6])) == []


def test_nothing_is_proposed_where_there_is_no_room_and_wrong_settings_are_refused() -> None:
    assert Proposer(MODEL).propose(Stream([1, 2], 1, Sampling(0), 0)) == []
    assert len(Proposer(MODEL).propose(Stream([1, 2], 3, Sampling(0), 0))) == 2
    with pytest.raises(UsageError, match="must be at least 1"):
        Proposer(MODEL, 0)
    with pytest.raises(UsageError, match="same vocabulary"):
        TorchEngine(MODEL, proposer=Proposer(made(1, CONFIG.model_copy(update={"vocab_tokens": 60}))))
