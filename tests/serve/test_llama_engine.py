import queue

import numpy as np
import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.core.gguf import read_gguf
from pellucid.export.gguf import write_gguf
from pellucid.generate.engine import Finished, GenerationRequest, PromptScored, Token
from pellucid.generate.sampling import Sampling
from pellucid.serve.llama_engine import LlamaEngine, LlamaShape

GREEDY = Sampling(temperature=0)


def run(engine, request):
    events = queue.Queue()
    engine.submit(request, events.put)
    found = []
    while not found or not isinstance(found[-1], Finished):
        found.append(events.get(timeout=60))
    return found


def log_probabilities(decoder, ids):
    with torch.no_grad():
        return torch.log_softmax(decoder.logits(decoder(torch.tensor([ids])))[0].double(), dim=-1)


def test_tokens_and_log_probabilities_are_those_of_the_checkpoint(engine, decoder, tokenizer):
    ids = tuple(tokenizer.encode("The river is 12 km long. 😀 Größe"))
    asked = GenerationRequest(ids, 24, GREEDY, top_logprobs=3, prompt_logprobs=True)
    prompt, *tokens, finished = run(engine, asked)
    assert isinstance(prompt, PromptScored) and [token.id for token in prompt.tokens] == list(ids)
    assert finished.error is None, finished.error
    assert (finished.reason, finished.prompt_tokens, finished.new_tokens) == ("max_new_tokens", len(ids), 24)
    assert all(isinstance(token, Token) for token in tokens) and len(tokens) == 24
    whole = [*prompt.tokens, *tokens]
    expected_TV = log_probabilities(decoder, [token.id for token in whole])
    assert prompt.tokens[0].logprob is None
    for place, token in enumerate(whole[1:]):
        assert token.logprob == pytest.approx(float(expected_TV[place, token.id]), abs=1e-4)
        best = expected_TV[place].topk(3)
        assert [id_ for id_, _ in token.top] == best.indices.tolist()
        assert [logprob for _, logprob in token.top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_greedy_tokens_are_the_likeliest_also_inside_characters(engine, decoder, tokenizer):
    for text in ("é", "日本", "x = 1", "🎉"):
        ids = tuple(tokenizer.encode(text))
        *tokens, finished = run(engine, GenerationRequest(ids, 40, GREEDY))
        assert finished.new_tokens == len(tokens) == 40
        found_TV = log_probabilities(decoder, [*ids, *(token.id for token in tokens)])
        for place, token in enumerate(tokens, len(ids) - 1):
            assert float(found_TV[place].max() - found_TV[place, token.id]) < 1e-3


def test_a_stop_id_ends_it_and_is_not_among_the_tokens(engine, tokenizer):
    ids = tuple(tokenizer.encode("The river"))
    free = run(engine, GenerationRequest(ids, 12, GREEDY))
    stop = free[7].id
    first = next(at for at, token in enumerate(free) if token.id == stop)
    *tokens, finished = run(engine, GenerationRequest(ids, 12, GREEDY, stop_ids=frozenset([stop])))
    assert [token.id for token in tokens] == [token.id for token in free[:first]]
    assert (finished.reason, finished.stopped_by, finished.new_tokens) == ("stop_id", stop, first)


def test_a_seed_gives_the_same_tokens_and_another_one_others(engine, tokenizer):
    ids = tuple(tokenizer.encode("The river"))
    first, again, other = (
        [event.id for event in run(engine, GenerationRequest(ids, 30, Sampling(2.0), seed=seed))[:-1]] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_context_ends_it(engine, tokenizer):
    ids = tuple(tokenizer.encode("word " * 300))[:250]
    *tokens, finished = run(engine, GenerationRequest(ids, 50, GREEDY))
    assert (finished.reason, len(tokens)) == ("context", 6)
    assert run(engine, GenerationRequest((5,) * 256, 1, GREEDY)) == [Finished("context", 256, 0)]


@pytest.mark.parametrize("ids", [(), (5,) * 257, (608,), (-1,)])
def test_a_prompt_that_cannot_be_read_is_refused(engine, ids):
    with pytest.raises(UsageError, match=r"tokens|outside"):
        engine.submit(GenerationRequest(ids, 1, GREEDY), print)


def test_cancelling_frees_the_slot_and_a_waiting_request_takes_it(gguf_file, own_bytes, tokenizer):
    engine = LlamaEngine(gguf_file, own_bytes, LlamaShape(256, slots=1))
    try:
        ids, events, later = tuple(tokenizer.encode("The river")), queue.Queue(), queue.Queue()
        handle = engine.submit(GenerationRequest(ids, 10**6, GREEDY), events.put)
        engine.submit(GenerationRequest(ids, 2, GREEDY), later.put)
        assert isinstance(events.get(timeout=60), Token)
        assert (engine.stats().running, engine.stats().waiting) == (1, 1)
        handle.cancel()
        while not isinstance(event := events.get(timeout=60), Finished):
            pass
        assert event.reason == "cancelled" and event.new_tokens < 249
        assert [type(later.get(timeout=60)) for _ in range(3)] == [Token, Token, Finished]
        assert engine.stats().cancelled == 1
    finally:
        engine.close()
        engine.close()
    with pytest.raises(UsageError, match="closed"):
        engine.submit(GenerationRequest(ids, 1, GREEDY), print)


def test_a_prompt_that_begins_like_an_earlier_one_takes_its_cache(engine, tokenizer):
    ids = tuple(tokenizer.encode("A quite particular beginning, number 77, that no other test has. ") * 2)
    run(engine, GenerationRequest(ids, 2, GREEDY))
    assert run(engine, GenerationRequest((*ids, 20, 21), 2, GREEDY))[-1].reused_tokens >= len(ids) - 1


def test_damaged_weights_fail_the_request_and_not_the_engine(decoder, tokenizer, own_bytes, tmp_path):
    path = tmp_path / "nan.gguf"
    write_gguf(decoder.state_dict(), decoder.config, tokenizer, path, dtype="F32", name="nan")
    tensor = read_gguf(path).tensors["output.weight"]
    with path.open("r+b") as file:
        file.seek(tensor.start)
        file.write(np.full(tensor.shape, np.nan, np.float32).tobytes())
    engine = LlamaEngine(path, own_bytes, LlamaShape(64, slots=1))
    try:
        for _ in range(2):
            (finished,) = run(engine, GenerationRequest((5, 6), 4, GREEDY))
            assert finished.reason == "failed" and finished.error
    finally:
        engine.close()


def test_prompts_that_were_not_read_are_not_counted_as_read(engine, tokenizer):
    before, events = engine.stats(), queue.Queue()
    busy = [engine.submit(GenerationRequest((n,), 250, GREEDY, top_logprobs=20), events.put) for n in range(4)]
    waiting = engine.submit(GenerationRequest(tuple(range(200)), 1, GREEDY), events.put)
    for one in (waiting, *busy):
        one.cancel()
    ends = []
    while len(ends) < 5:
        ends += [event for event in [events.get(timeout=60)] if isinstance(event, Finished)]
    after = engine.stats()
    assert after.prompt_tokens - before.prompt_tokens <= 4 and after.cancelled - before.cancelled == 5
    finished = run(engine, GenerationRequest(tuple(range(300, 330)), 1, GREEDY))[-1]
    assert engine.stats().prompt_tokens - after.prompt_tokens == finished.prompt_tokens == 30
