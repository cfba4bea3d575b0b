"""Against the model itself, run by torch: llama.cpp's server token by token, and a server that echoes what the model computes."""

import threading

import pytest
import torch

from pellucid.core.errors import CannotDoError, EndpointError, UsageError
from pellucid.evals.endpoint.client import Client, Refusal
from pellucid.evals.endpoint.scoring import EchoScorer
from pellucid.evals.local import LocalModel
from pellucid.evals.subject import Pair
from pellucid.recipe.suites import EndpointConfig

PAIRS = [
    Pair("The river runs", " to the sea"),
    Pair("The river ", "runs"),
    Pair("A café", " – naïve ☃ 漢字"),  # bytes that are no characters by themselves
    Pair("", "The river"),
    Pair("x", "<|endoftext|>"),
]


def by_torch(tiny, ids, count):
    """Nats of the last `count` ids, and whether each is the likeliest."""
    log_TV = tiny.log_probabilities(ids[:-1])[-count:]
    last_T = torch.tensor(ids[-count:])
    return -float(log_TV.gather(1, last_T[:, None]).sum()), bool((log_TV.argmax(1) == last_T).all())


def harness_ids(tiny, pair):
    """The tokens that lm-evaluation-harness scores."""
    tokenizer = tiny.tokenizer
    context = pair.context.rstrip()
    before = tokenizer.encode(context)
    after = tokenizer.encode(pair.context + pair.continuation)[len(before) :]
    return (before or [tokenizer.eos_id]) + after, len(after)


def test_llama_cpp_gives_the_log_likelihoods_that_torch_gives(llama, open_at, tiny):
    endpoint = open_at(llama)
    for pair, found in zip(PAIRS, endpoint.loglikelihoods(PAIRS), strict=True):
        ids, count = harness_ids(tiny, pair)
        nats, greedy = by_torch(tiny, ids, count)
        assert (found.tokens, found.dropped_tokens) == (count, 0)
        assert found.nats == pytest.approx(nats, abs=1e-3)
        assert found.greedy == greedy


def test_llama_cpp_says_what_a_model_in_process_says(llama, open_at, tiny):
    local, endpoint = LocalModel(tiny.model, tiny.tokenizer), open_at(llama)
    for here, there in (
        (local.loglikelihoods(PAIRS), endpoint.loglikelihoods(PAIRS)),
        (local.rolling(["The river runs", "x"]), endpoint.rolling(["The river runs", "x"])),
    ):
        assert [(one.tokens, one.greedy) for one in here] == [(one.tokens, one.greedy) for one in there]
        assert [one.nats for one in there] == pytest.approx([one.nats for one in here], abs=1e-3)


def test_what_the_model_would_say_is_greedy(llama, open_at, tiny):
    encode, decode = tiny.tokenizer.encode, tiny.tokenizer.decode
    likely = {
        text: decode([int(tiny.log_probabilities(encode(text))[-1].argmax())]) for text in ("The", "The river", "x", "one", "of")
    }
    pairs = [Pair(text, next_) for text, next_ in likely.items() if len(encode(text + next_)) == len(encode(text)) + 1]
    assert len(pairs) > 1  # the others read otherwise than they were written
    found = open_at(llama).loglikelihoods([*pairs, Pair("The river", " zebra")])
    assert [one.greedy for one in found] == [True] * len(pairs) + [False]


def test_llama_cpp_reads_long_texts_in_windows_and_cuts_long_contexts(llama, open_at, tiny):
    endpoint = open_at(llama, context_tokens=16)
    text = "the quick brown fox jumps over the lazy dog, and again: " * 2
    ids = [tiny.tokenizer.eos_id, *tiny.tokenizer.encode(text)]
    assert len(ids) > 40
    nats = 0.0
    for start in range(1, len(ids), 15):
        end = min(start + 15, len(ids))
        nats += by_torch(tiny, ids[max(0, end - 16) : end], end - start)[0]  # llama.cpp reads 15 of 16 tokens, and scores 15
    found = endpoint.rolling([text])[0]
    assert found.tokens == len(ids) - 1
    assert found.nats == pytest.approx(nats, abs=1e-3)
    pair = Pair(text, " lazy")
    whole, count = harness_ids(tiny, pair)
    cut = endpoint.loglikelihoods([pair])[0]
    assert cut.dropped_tokens == len(whole) - 16
    assert cut.nats == pytest.approx(by_torch(tiny, whole[-16:], count)[0], abs=1e-3)


@pytest.fixture(params=[(0, False), (1, False), (0, True), (1, True)], ids=["none", "one", "none, offsets", "one, offsets"])
def echoing(request, between, tiny):
    """A real server over a real model that echoes as OpenAI's completions did, and as vLLM's do; some refuse to write nothing."""
    tokenizer, (least, tells_offsets) = tiny.tokenizer, request.param

    def answer(path, body):
        if path.endswith("/models"):
            return 200, {"data": [{"id": "tiny", "max_model_len": 64}]}
        if path == "/tokenize":
            assert not tells_offsets or len(body["prompt"]) > 64
            return 200, {"tokens": tokenizer.encode(body["prompt"])}
        ids = tokenizer.encode(body["prompt"]) if isinstance(body["prompt"], str) else body["prompt"]
        if len(ids) + body["max_tokens"] > 64:
            return 400, {"error": f"This model's maximum context length is 64 tokens, your prompt has {len(ids)} input tokens"}
        if body["max_tokens"] < least:
            return 400, {"error": "max_tokens must be at least 1"}
        shown = ids + [5] * body["max_tokens"]
        log_TV = tiny.log_probabilities(shown)
        own = [None] + [float(log_TV[at, id_]) for at, id_ in enumerate(shown[1:])]
        top = [None] + [{"best": float(log_TV[at].max())} for at in range(len(shown) - 1)]
        tokens = [tokenizer.decode([id_]) for id_ in shown]
        usage = {"prompt_tokens": len(ids), "completion_tokens": body["max_tokens"]}
        logprobs = {"tokens": tokens, "token_logprobs": own, "top_logprobs": top}
        if tells_offsets:  # where the characters begin that a token has a part of, as OpenAI tells them
            begun = [tokenizer.decode(shown[: at + 1]) for at in range(len(shown))]
            logprobs["text_offset"] = [0, *(len(text.rstrip("�")) for text in begun[:-1])]
        return 200, {"choices": [{"text": tokenizer.decode(shown), "logprobs": logprobs}], "usage": usage}

    return between(answer).url


def test_an_echoed_prompt_gives_the_log_likelihoods_that_torch_gives(echoing, open_at, tiny):
    pairs = [*PAIRS[:3], Pair("word " * 70, "runs to the sea")]
    found = open_at(echoing).loglikelihoods(pairs)
    for pair, one in zip(pairs[:3], found, strict=False):
        ids, count = harness_ids(tiny, pair)
        nats, greedy = by_torch(tiny, ids, count)
        assert (one.tokens, one.greedy) == (count, greedy)
        assert one.nats == pytest.approx(nats, abs=1e-4)
    assert found[3].dropped_tokens > 0


def test_a_server_that_puts_nothing_before_a_text_cannot_score_its_first_token(echoing, open_at):
    with pytest.raises(CannotDoError, match="scores no token at the beginning of a text"):
        open_at(echoing).rolling(["The river"])
    with pytest.raises(CannotDoError, match="does not fit into the server's context"):
        open_at(echoing).rolling(["The river " * 100])


def test_a_server_without_log_probabilities_is_refused_and_told_what_goes_without(between, open_at):
    def chat_only(path, body):
        return (200, {"data": [{"id": "m"}]}) if path.endswith("/models") else (404, {"error": "no such route"})

    endpoint = open_at(between(chat_only).url)
    with pytest.raises(CannotDoError, match=r"no log-probabilities of a prompt.*Without them go: needle, mt_bench, code"):
        endpoint.loglikelihoods([PAIRS[0]])
    assert endpoint.count_tokens("text") is None


def test_a_server_that_answers_without_log_probabilities_cannot_and_one_that_fails_has_only_failed(between, open_at):
    def plain(path, body):
        if path.endswith("/models"):
            return 200, {"data": [{"id": "m"}]}
        return 200, {"choices": [{"text": "one", "logprobs": None}]}

    server = between(plain)
    with pytest.raises(CannotDoError, match="no log-probabilities"):
        open_at(server.url).loglikelihoods([PAIRS[0]])
    assert len(server.seen) == 2  # nothing is asked again that was answered
    for status in ("401", "402", "403", "503"):
        server.faults = [status] * 4
        with pytest.raises((EndpointError, UsageError), match=status) as caught:
            open_at(server.url).loglikelihoods([PAIRS[0]])
        assert not isinstance(caught.value, CannotDoError)


def test_only_what_is_too_long_is_said_to_be(between):
    server = between(lambda path, body: (400, {"error": "bad luck"}))
    scorer = EchoScorer(Client(EndpointConfig(url=server.url, attempts=1)), "m", 64, 0, lambda *_: None)
    for ask in (lambda: scorer.pair(PAIRS[0], threading.Event()), lambda: scorer.text("The river", threading.Event())):
        with pytest.raises(Refusal, match="bad luck"):
            ask()


def test_echoed_tokens_that_do_not_spell_the_text_are_an_error(between):
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [None, -1.0], "top_logprobs": [None, {"b": -1.0}]}
    answer = {"choices": [{"logprobs": logprobs}], "usage": {"completion_tokens": 0}}
    url = between(lambda path, body: (404, {}) if path == "/tokenize" else (200, answer)).url
    client = Client(EndpointConfig(url=url, attempts=1))
    scorer = EchoScorer(client, "m", None, 0, lambda *_: None)
    with pytest.raises(EndpointError, match="do not spell the text"):
        scorer.pair(Pair("The river", " runs"), threading.Event())
