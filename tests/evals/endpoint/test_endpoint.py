import json
import os

import pytest

from pellucid.core.errors import EndpointError, UsageError
from pellucid.evals.subject import Decoding

CONTEXT_TOKENS = 2048  # of the server in conftest.py
HELLO = [{"role": "user", "content": "hello"}]


def test_a_real_server_chats_and_tells_what_it_is(llama, open_at, tiny):
    endpoint, done = open_at(llama), []
    answers = endpoint.chat([HELLO, [*HELLO, {"role": "assistant", "content": "x"}, *HELLO]], Decoding(8), [1, 2], done.append)
    assert [(answer.new_tokens, answer.stopped_by) for answer in answers] == [(8, "length")] * 2
    assert answers[0].prompt_tokens == len(tiny.tokenizer.encode("[user|hello][assistant|"))
    assert answers[1].prompt_tokens > answers[0].prompt_tokens
    assert sum(done) == 2
    assert endpoint.identity["model"] == "tiny.gguf"
    assert endpoint.identity["server"].startswith("llama.cpp")
    assert (endpoint.label, endpoint.context_tokens) == ("tiny", CONTEXT_TOKENS)
    usage = endpoint.usage
    assert (usage.requests, usage.new_tokens, usage.retries) == (2, 16, 0)
    assert usage.prompt_tokens == sum(answer.prompt_tokens for answer in answers)
    assert usage.seconds > 0


def test_greedy_text_is_llama_cpps_own_and_seeds_tell_draws_apart(llama, open_at, tiny):
    endpoint = open_at(llama)
    greedy = endpoint.complete(["The river"], Decoding(6), [1])[0].text
    assert greedy == endpoint.complete(["The river"], Decoding(6), [2])[0].text
    ids = tiny.tokenizer.encode("The river")
    for _ in range(6):
        ids.append(int(tiny.log_probabilities(ids)[-1].argmax()))
    assert greedy == tiny.tokenizer.decode(ids[-6:])
    drawn = [answer.text for answer in endpoint.complete(["The river"] * 3, Decoding(6, temperature=1.0), [1, 2, 1])]
    assert drawn[0] == drawn[2] != drawn[1]


def test_answers_keep_the_order_of_what_was_asked(between, open_at):
    endpoint = open_at(between(lambda path, body: _models(path) or (200, _chat(body["messages"][-1]["content"]))).url, parallel=5)
    conversations = [[{"role": "user", "content": f"number {n}"}] for n in range(23)]
    assert [answer.text for answer in endpoint.chat(conversations, Decoding(), [0] * 23)] == [f"number {n}" for n in range(23)]


def test_a_stop_text_ends_an_answer_and_is_not_part_of_it(llama, open_at):
    endpoint = open_at(llama)
    whole = endpoint.complete(["The river"], Decoding(12), [1])[0].text
    stop = whole[4]
    cut = endpoint.complete(["The river"], Decoding(12, stop=(stop,)), [1])[0]
    assert (cut.text, cut.stopped_by) == (whole[: whole.index(stop)], "stop")


def test_what_is_too_long_is_answered_by_nothing_or_loses_its_beginning(llama, open_at):
    endpoint = open_at(llama)
    answer = endpoint.chat([[{"role": "user", "content": "hello " * 2000}]], Decoding(8), [1])[0]
    assert (answer.text, answer.stopped_by, answer.new_tokens) == ("", "context", 0)
    assert answer.prompt_tokens > CONTEXT_TOKENS
    cut = endpoint.complete(["hello " * 2000], Decoding(8), [1])[0]
    assert cut.new_tokens == 8
    assert cut.prompt_tokens == CONTEXT_TOKENS - 8
    assert cut.dropped_tokens == endpoint.count_tokens("hello " * 2000) - cut.prompt_tokens


def test_an_answer_that_fills_the_context_says_so(llama, open_at):
    answer = open_at(llama).chat([[{"role": "user", "content": "hello " * 390}]], Decoding(100_000), [3])[0]
    assert answer.stopped_by == "context"
    assert answer.prompt_tokens + answer.new_tokens == CONTEXT_TOKENS


def test_a_server_that_counts_the_answer_into_the_context_is_asked_for_what_is_left(between, open_at):
    said = (
        "This model's maximum context length is 100 tokens. However, you requested {} tokens (70 in the messages, {} in the rest)."
    )

    def strict(path, body):
        if listed := _models(path, max_model_len=100):
            return listed
        asked = body["max_tokens"]
        return (200, _chat("x " * asked, 70, asked, "length")) if asked <= 30 else (400, {"error": said.format(70 + asked, asked)})

    answer = open_at(between(strict).url).chat([HELLO], Decoding(512), [1])[0]
    assert (answer.new_tokens, answer.stopped_by) == (30, "context")


def test_a_server_that_wants_the_newer_name_of_the_limit_gets_it(between, open_at):
    def newer(path, body):
        if listed := _models(path):
            return listed
        if "max_tokens" in body:
            return 400, {"error": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}
        return 200, _chat(str(body["max_completion_tokens"]))

    server = between(newer)
    endpoint = open_at(server.url)
    assert [endpoint.chat([HELLO], Decoding(9), [1])[0].text for _ in range(2)] == ["9", "9"]
    assert len(server.seen) == 3


@pytest.mark.parametrize("named", [("seed",), ("seed", "temperature")])
def test_a_field_that_a_server_refuses_is_left_out_from_then_on_and_noted(between, open_at, named):
    def strict(path, body):
        if listed := _models(path):
            return listed
        if wrong := next((name for name in named if name in body), None):
            return 400, {"error": {"message": f"Unsupported value: '{wrong}' is not supported", "param": wrong}}
        return 200, _chat(" ".join(sorted(body)))

    server = between(strict)
    endpoint = open_at(server.url)
    assert "unsupported" not in endpoint.identity
    texts = [endpoint.chat([HELLO], Decoding(9), [1])[0].text for _ in range(2)]
    left = sorted({"max_tokens", "messages", "model", "temperature", "seed"} - set(named))
    assert texts == [" ".join(left)] * 2  # top_p 1 is not sent at all
    assert len(server.seen) == 2 + len(named)
    assert endpoint.identity["unsupported"] == sorted(named)
    assert endpoint.chat([HELLO], Decoding(9, top_p=0.5), [1])[0].text == " ".join(sorted([*left, "top_p"]))


def test_a_refusal_for_another_reason_stays_one(between, open_at):
    server = between(lambda path, body: _models(path) or (400, {"error": "no"}))
    with pytest.raises(UsageError, match="refuses: status 400"):
        open_at(server.url).chat([HELLO], Decoding(9), [1])
    assert len(server.seen) == 1


def test_a_count_of_tokens_that_fails_once_is_an_error_and_no_lack(between, open_at):
    def counts(path, body):
        return _models(path) or (200, {"tokens": [1, 2]})

    server = between(counts)
    endpoint = open_at(server.url, attempts=1)
    assert endpoint.count_tokens("a b") == 2
    for fault in ("503", "422", "404"):
        server.faults = [fault]
        with pytest.raises((EndpointError, UsageError), match="tokenize"):
            endpoint.count_tokens("a b")
    assert endpoint.count_tokens("a b") == 2
    server.faults = ["403"]
    closed = open_at(server.url)
    assert closed.count_tokens("a b") is None
    assert closed.count_tokens("a b") is None
    server.faults = ["401"]
    with pytest.raises(UsageError, match="401"):
        open_at(server.url).count_tokens("a b")


def test_a_real_answer_that_takes_too_long_is_given_up(llama, open_at):
    endpoint = open_at(llama, timeout_s=0.2, attempts=2)
    with pytest.raises(EndpointError, match=r"chat/completions: no answer after 2 attempts; the last met: ReadTimeout"):
        endpoint.chat([HELLO], Decoding(100_000), [1])
    assert open_at(llama).chat([HELLO], Decoding(1), [1])[0].new_tokens == 1


def test_costs_are_counted_by_price_and_unknown_without_usage(between, open_at):
    server = between(lambda path, body: _models(path) or (200, _chat("a", 1000, 100)))
    prices = {"usd_per_million_prompt_tokens": 2.0, "usd_per_million_new_tokens": 10.0}
    endpoint = open_at(server.url, **prices)
    endpoint.chat([HELLO] * 3, Decoding(), [1] * 3)
    assert endpoint.usage.cost_usd == pytest.approx(3 * (0.002 + 0.001))
    server.behind = lambda path, body: (200, {"choices": _chat("a")["choices"]})
    endpoint.chat([HELLO], Decoding(), [1])
    assert endpoint.usage.cost_usd is None


def test_the_key_is_sent_and_shows_nowhere_else(between, open_at, monkeypatch, caplog, capfd):
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("MY_KEY", secret)
    caplog.set_level("DEBUG")
    # A server that gives away what it was sent, in answers and in errors.
    server = between(lambda path, body: _models(path) or (200, _chat(f"your key is {secret}")))
    endpoint = open_at(server.url, key_variable="MY_KEY", attempts=2)
    answer = endpoint.chat([HELLO], Decoding(), [1])[0]
    assert server.seen[0][1]["Authorization"] == f"Bearer {secret}"
    assert answer.text == "your key is [key]"
    server.said = f"wrong key {secret}"
    errors = []
    for fault in ("401", "503"):
        server.faults = [fault] * 2
        with pytest.raises((UsageError, EndpointError)) as caught:
            endpoint.chat([HELLO], Decoding(), [1])
        errors.append(f"{caught.value!r} {caught.value} {caught.value.__dict__}")
    assert "$MY_KEY" in errors[0]
    shown = capfd.readouterr()
    everything = [*errors, json.dumps(endpoint.identity), repr(endpoint.usage), caplog.text, shown.out, shown.err, repr(endpoint)]
    assert not any(secret in text for text in everything)


def test_a_proxy_in_the_environment_does_not_get_between_this_machine_and_itself(llama, open_at, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    assert open_at(llama).chat([HELLO], Decoding(2), [1])[0].new_tokens == 2


def _models(path, **fields):
    return (200, {"data": [{"id": "rule", **fields}]}) if path.endswith("/models") else None


def _chat(text, prompt_tokens=5, new_tokens=2, reason="stop"):
    return {
        "choices": [{"message": {"content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": new_tokens},
    }
