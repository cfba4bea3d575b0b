import threading
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.engine import Event, Finished, GenerationRequest, Handle, PromptScored, Token
from pellucid.generate.sampling import Sampling
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=48, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip
GREEDY = Sampling(0)


class Heard:
    """The events of one request. `hook` is called in the engine's thread, where the engine waits for it."""

    def __init__(self, engine: TorchEngine, request: GenerationRequest, hook: object = None) -> None:
        self.events: list[Event] = []
        self._hook = hook
        self._over = threading.Event()
        self.handle: Handle = engine.submit(request, self._hear)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if callable(self._hook):
            self._hook(event)
        if isinstance(event, Finished):
            self._over.set()

    @property
    def tokens(self) -> list[Token]:
        return [event for event in self.events if isinstance(event, Token)]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def end(self) -> Finished:
        assert self._over.wait(30), "the request was never finished"
        last = self.events[-1]
        assert isinstance(last, Finished) and sum(isinstance(event, Finished) for event in self.events) == 1
        return last


@pytest.fixture(scope="module")
def model() -> Decoder:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    return model.eval()


@pytest.fixture
def engine(model: Decoder) -> Iterator[TorchEngine]:
    engine = TorchEngine(model, slots=3, prompt_tokens=4)
    yield engine
    engine.close()


def held_up(engine: TorchEngine) -> threading.Event:
    """Let the engine's thread wait inside a request until the event is set, so that what is submitted meanwhile comes at once."""
    go, waits = threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        waits.set()
        go.wait(30)

    Heard(engine, GenerationRequest((60,), 0, GREEDY), hold)
    assert waits.wait(30)
    return go


def alone(model: Decoder, request: GenerationRequest) -> tuple[list[int], str, int | None]:
    how = request.sampling
    generation = generate(
        model, request.ids, max_new_tokens=request.max_new_tokens, temperature=how.temperature, top_k=how.top_k, top_p=how.top_p,
        seed=request.seed, stop_ids=request.stop_ids,
    )  # fmt: skip
    ids = list(generation)
    assert generation.stop_reason is not None
    return ids, generation.stop_reason, generation.stopped_by


requests_of = st.builds(
    GenerationRequest,
    # Few different tokens, so that prompts begin alike.
    ids=st.lists(st.sampled_from([1, 1, 1, 2]), min_size=1, max_size=48).map(tuple),
    max_new_tokens=st.integers(0, 12),
    sampling=st.sampled_from([Sampling(), GREEDY, Sampling(0.7, top_k=5), Sampling(1.3, top_p=0.8)]),
    seed=st.integers(0, 5),
    stop_ids=st.frozensets(st.integers(0, 60), max_size=4),
)


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(requests_of, min_size=1, max_size=9), at_once=st.booleans())
def test_each_request_gets_what_it_gets_alone_whoever_else_is_there(
    model: Decoder, requests: list[GenerationRequest], at_once: bool
) -> None:
    engine = TorchEngine(model, slots=3, prompt_tokens=4)
    go = held_up(engine) if at_once else None
    heard = [Heard(engine, request) for request in requests]
    if go is not None:
        go.set()
    for one, request in zip(heard, requests, strict=True):
        ids, reason, stopped_by = alone(model, request)
        assert (one.end.reason, one.ids, one.end.stopped_by) == (reason, ids, stopped_by)
        assert (one.end.prompt_tokens, one.end.new_tokens) == (len(request.ids), len(ids))
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.failed, stats.cancelled) == (0, 0, 0, 0)
    assert stats.finished == len(requests) + at_once
    assert stats.new_tokens == sum(len(one.ids) for one in heard)
    assert stats.reused_tokens == sum(one.end.reused_tokens for one in heard)
    engine.close()


def test_log_probabilities_are_the_models_own_whatever_the_sampling(model: Decoder, engine: TorchEngine) -> None:
    ids = tuple(torch.randint(61, (30,), generator=torch.Generator().manual_seed(1)).tolist())
    neighbours = [Heard(engine, GenerationRequest((n,) * 9, 30, Sampling(), seed=n)) for n in (1, 2)]
    sampling = Sampling(0.5, top_k=3, presence_penalty=0.5)
    one = Heard(engine, GenerationRequest(ids, 6, sampling, seed=4, top_logprobs=4, prompt_logprobs=True))
    assert one.end.reused_tokens == 0 and len(one.ids) == 6
    assert isinstance(one.events[0], PromptScored)
    scored = [*one.events[0].tokens, *one.tokens]
    with torch.no_grad():
        logprob_TV = model.logits(model(torch.tensor([[*ids, *one.ids]])))[0].log_softmax(-1)
    assert scored[0] == Token(ids[0])
    assert [token.id for token in scored] == [*ids, *one.ids]
    for at, token in enumerate(scored[1:]):
        assert token.logprob == pytest.approx(float(logprob_TV[at, token.id]), abs=1e-4)
        values, likeliest = logprob_TV[at].topk(4)
        assert [id_ for id_, _ in token.top] == likeliest.tolist()
        assert [value for _, value in token.top] == pytest.approx(values.tolist(), abs=1e-4)
    assert all(token.logprob is None for other in neighbours if other.end for token in other.tokens)


def test_a_prompt_alone_can_be_scored(model: Decoder, engine: TorchEngine) -> None:
    for ids in ((7,), (7, 8, 9), (5,) * 48):
        one = Heard(engine, GenerationRequest(ids, 0, GREEDY, prompt_logprobs=True))
        assert (one.end.reason, one.end.new_tokens) == ("max_new_tokens", 0)
        (scored,) = one.events[:-1]
        assert isinstance(scored, PromptScored) and [token.id for token in scored.tokens] == list(ids)
        assert all(token.top == () for token in scored.tokens)
        assert [token.logprob is None for token in scored.tokens] == [at == 0 for at in range(len(ids))]


def test_a_prompt_takes_over_what_a_finished_and_a_running_one_have_read(model: Decoder, engine: TorchEngine) -> None:
    stem = tuple(range(20))
    assert Heard(engine, GenerationRequest((*stem, 30), 3, GREEDY)).end.reused_tokens == 0
    again = Heard(engine, GenerationRequest((*stem, 40, 41), 3, GREEDY))
    assert again.end.reused_tokens == 20 and again.ids == alone(model, GenerationRequest((*stem, 40, 41), 3, GREEDY))[0]
    # The whole prompt is known, and its last token is read again, for what follows it.
    assert Heard(engine, GenerationRequest(stem, 3, GREEDY)).end.reused_tokens == 19
    # A conversation goes on with its own answer.
    turn = Heard(engine, GenerationRequest((50, 51, 52), 8, GREEDY))
    assert turn.end.new_tokens == 8
    assert Heard(engine, GenerationRequest((50, 51, 52, *turn.ids, 53), 1, GREEDY)).end.reused_tokens == 3 + 7


def test_prompts_that_come_at_once_read_their_common_beginning_once(model: Decoder, engine: TorchEngine) -> None:
    go = held_up(engine)
    requests = [GenerationRequest((*range(30), n), 4, GREEDY) for n in (40, 41, 42)]
    heard = [Heard(engine, request) for request in requests]
    go.set()
    # They wait for the first until what is left of it is not worth waiting for.
    assert heard[0].end.reused_tokens == 0 and all(14 < one.end.reused_tokens <= 30 for one in heard[1:])
    assert [one.ids for one in heard] == [alone(model, request)[0] for request in requests]


def test_answers_go_on_while_a_long_prompt_is_read(model: Decoder, engine: TorchEngine) -> None:
    order: list[str] = []
    seconds: list[Heard] = []
    long = GenerationRequest(tuple(range(40)), 1, GREEDY)

    def hear(event: Event) -> None:
        order.append("first")
        if len(order) == 3:
            seconds.append(Heard(engine, long, lambda event: order.append("second")))

    first = Heard(engine, GenerationRequest((1,), 40, GREEDY), hear)
    assert first.end.new_tokens == 40 and seconds[0].ids == alone(model, long)[0]
    # The forty tokens are read four at a time, and beside each piece the first answer gets a token.
    assert order.index("second") == 3 + 10


def test_a_cancelled_request_ends_within_a_step_and_its_slot_is_free(model: Decoder, engine: TorchEngine) -> None:
    heard: list[Heard] = []

    def stop_at_third(event: Event) -> None:
        if len(heard[0].tokens) == 3:
            heard[0].handle.cancel()

    go = held_up(engine)
    heard.append(Heard(engine, GenerationRequest((1, 2), 40, GREEDY), stop_at_third))
    others = [Heard(engine, GenerationRequest((n, 3), 5, Sampling(), seed=n)) for n in range(4)]
    waiting = Heard(engine, GenerationRequest((9,), 5, GREEDY))
    waiting.handle.cancel()
    go.set()
    assert (heard[0].end.reason, heard[0].end.new_tokens, len(heard[0].tokens)) == ("cancelled", 3, 3)
    assert (waiting.end.reason, waiting.tokens) == ("cancelled", [])
    for n, other in enumerate(others):
        assert other.end.reason == "max_new_tokens"
        assert other.ids == alone(model, GenerationRequest((n, 3), 5, Sampling(), seed=n))[0]
    heard[0].handle.cancel()
    assert (engine.stats().cancelled, engine.stats().running) == (2, 0)
    # What waited was not read.
    assert engine.stats().prompt_tokens == 2 + 4 * 2


def test_a_request_that_has_enough_is_finished_and_not_given_up(engine: TorchEngine) -> None:
    heard: list[Heard] = []
    go = held_up(engine)
    heard.append(Heard(engine, GenerationRequest((1, 2), 40, GREEDY), lambda event: heard[0].handle.cancel(enough=True)))
    go.set()
    assert (heard[0].end.reason, heard[0].end.new_tokens) == ("enough", 1)
    assert (engine.stats().finished, engine.stats().cancelled, engine.stats().prompt_tokens) == (2, 0, 2)


def test_logits_that_are_no_numbers_fail_one_request_and_not_the_next_nor_its_slot() -> None:
    model = Decoder(CONFIG)
    init_weights(model, 3)
    with torch.no_grad():
        model.embedding.weight[33] = float("nan")
    engine = TorchEngine(model, slots=2)
    go = held_up(engine)
    sound = Heard(engine, GenerationRequest((1, 2), 30, Sampling(logit_bias=((33, -1e9),)), seed=1))
    broken = Heard(engine, GenerationRequest((4, 33), 9, GREEDY))
    scored = Heard(engine, GenerationRequest((4, 33), 0, GREEDY, prompt_logprobs=True))
    go.set()
    for one in (broken, scored):
        assert one.end.reason == "failed" and "NaN" in str(one.end.error) and len(one.events) == 1
    assert sound.end.reason == "max_new_tokens" and sound.end.new_tokens == 30
    after = Heard(engine, GenerationRequest((4, 5), 9, Sampling(0, logit_bias=((33, -1e9),))))
    assert after.end.reason == "max_new_tokens" and after.end.reused_tokens == 0
    assert engine.stats().failed == 2
    engine.close()


def test_a_pass_that_fails_takes_only_those_who_were_in_it(
    model: Decoder, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Decoder.forward

    def out_of_memory(self: Decoder, *given: object, **more: object) -> torch.Tensor:
        raise MemoryError("no more")

    go = held_up(engine)
    monkeypatch.setattr(Decoder, "forward", out_of_memory)
    lost = [
        Heard(engine, GenerationRequest((n,), 3, GREEDY), lambda event: monkeypatch.setattr(Decoder, "forward", whole))
        for n in range(3)
    ]
    next_one = Heard(engine, GenerationRequest((1, 2), 3, GREEDY))
    go.set()
    assert {(one.end.reason, one.end.error) for one in lost} == {("failed", "MemoryError: no more")}
    assert next_one.end.reason == "max_new_tokens"
    assert next_one.ids == alone(model, GenerationRequest((1, 2), 3, GREEDY))[0]


def test_who_raises_on_an_event_is_taken_out(engine: TorchEngine) -> None:
    def gone(event: Event) -> None:
        if isinstance(event, Token):
            raise ConnectionError("nobody listens")

    assert Heard(engine, GenerationRequest((1,), 40, GREEDY), gone).end.reason == "cancelled"
    assert Heard(engine, GenerationRequest((1,), 2, GREEDY)).end.reason == "max_new_tokens"


def test_wrong_requests_are_refused_at_once(model: Decoder) -> None:
    engine = TorchEngine(model, slots=1, context_tokens=20)
    for ids, sampling, message in (
        ((), GREEDY, "empty"),
        ((61,), GREEDY, "vocabulary is 0 to 60"),
        ((1,) * 21, GREEDY, "context_tokens is 20"),
        ((1,), Sampling(logit_bias=((61, 1.0),)), "logit_bias has the id 61"),
    ):
        with pytest.raises(UsageError, match=message):
            engine.submit(GenerationRequest(ids, 1, sampling), lambda event: None)
    assert Heard(engine, GenerationRequest((1,) * 18, 9, GREEDY)).end[:3] == ("context", 18, 2)
    assert engine.identity["context_tokens"] == engine.context_tokens == 20 and engine.vocab_tokens == 61
    with pytest.raises(UsageError, match="slots is 0"):
        TorchEngine(model, slots=0)
    engine.close()


def test_closing_cancels_what_runs_and_what_waits_and_can_be_done_twice(model: Decoder) -> None:
    engine = TorchEngine(model, slots=1)
    closer: list[threading.Thread] = []

    def close(event: Event) -> None:
        if not closer and isinstance(event, Token):
            closer.append(threading.Thread(target=engine.close))
            closer[0].start()
            while not engine.closed:
                time.sleep(0.001)

    running = Heard(engine, GenerationRequest((1,), 40, GREEDY), close)
    waiting = Heard(engine, GenerationRequest((2,), 40, GREEDY))
    assert (running.end.reason, running.end.new_tokens, waiting.end.reason) == ("cancelled", 1, "cancelled")
    closer[0].join(30)
    engine.close()
    with pytest.raises(UsageError, match="closed"):
        engine.submit(GenerationRequest((1,), 1, GREEDY), lambda event: None)


def test_an_engine_may_be_closed_from_an_event(model: Decoder) -> None:
    engine = TorchEngine(model, slots=1)
    one = Heard(engine, GenerationRequest((1,), 40, GREEDY), lambda event: engine.close())
    assert one.end.reason == "cancelled"
