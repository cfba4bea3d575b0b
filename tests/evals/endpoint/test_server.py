import pytest

from pellucid.core.errors import EndpointError, UsageError
from pellucid.evals.endpoint.client import Client, Refusal
from pellucid.evals.endpoint.server import ask_server, tokenize
from pellucid.recipe.suites import EndpointConfig


def client(url: str) -> Client:
    return Client(EndpointConfig(url=url, first_wait_s=0.01, attempts=2))


def test_llama_cpp_is_known_by_its_name_and_asked_in_its_own_way(llama, tiny):
    server = ask_server(client(llama), None)
    assert (server.software, server.model, server.context_tokens) == ("llama.cpp", str(tiny.path), 2048)
    assert server.vocab_tokens == 608
    ids = tokenize(client(llama), server.model, "The river", begin=False)
    assert ids == tiny.tokenizer.encode("The river")


def test_another_server_tells_its_longest_sequence_by_the_model_asked_for(between):
    models = {"data": [{"id": "a", "max_model_len": 8}, {"id": "b", "max_model_len": 16}]}
    url = between(lambda path, body: (200, models) if path == "/v1/models" else (404, {})).url
    server = ask_server(client(url), "b")
    assert (server.model, server.software, server.context_tokens) == ("b", "other", 16)
    assert ask_server(client(url), None).model == "a"
    assert tokenize(client(url), "b", "text", begin=False) is None


def test_a_failure_to_count_is_no_lack_of_the_route(between):
    server = between(lambda path, body: (401, {"error": "who are you"}))
    with pytest.raises(Refusal, match="who are you"):
        tokenize(client(server.url), "b", "text", begin=False)
    server.faults = ["503"] * 2
    with pytest.raises(EndpointError, match="no answer after 2 attempts"):
        tokenize(client(server.url), "b", "text", begin=False)


def test_a_server_that_lists_no_models_needs_a_name(between):
    url = between(lambda path, body: (404, {})).url
    with pytest.raises(UsageError, match="lists no models: name the one to ask for"):
        ask_server(client(url), None)
    assert ask_server(client(url), "given").model == "given"


def test_a_key_that_is_not_accepted_is_an_error_at_once(between):
    url = between(lambda path, body: (401, {"error": "who are you"})).url
    with pytest.raises(Refusal, match="who are you"):
        ask_server(client(url), "given")
