import email.utils
import time

import pytest
from pydantic import ValidationError

from pellucid.core.errors import EndpointError, RecipeError, UsageError
from pellucid.evals.endpoint.client import Client, Refusal
from pellucid.recipe.suite_settings import load_suite_settings
from pellucid.recipe.suites import EndpointConfig


def client(url: str, **fields) -> Client:
    return Client(EndpointConfig(url=url, **({"first_wait_s": 0.01, "attempts": 4} | fields)))


def read(raw):
    return raw["n"]


def echo(path, body):
    return 200, {"n": body["n"] + 1}


@pytest.mark.parametrize("fault", ["500", "502", "503", "429", "drop", "half", "garbage", "empty"])
def test_what_passes_is_asked_again(between, fault):
    server = between(echo)
    server.faults = [fault, fault]
    reply = client(server.url).post(f"{server.url}/x", {"n": 1}, read)
    assert (reply.body, reply.retries) == (2, 2)
    assert [body for _, _, body in server.seen] == [{"n": 1}] * 3


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        ("503", 'status 503: \'{"error": "out of order"}\''),
        ("drop", "RemoteProtocolError"),
        ("garbage", "status 200 with a body that is no answer .*<html>busy"),
        ("empty", "KeyError: 'n'"),
    ],
)
def test_the_last_error_names_url_attempts_and_what_was_met(between, fault, met):
    server = between(echo)
    server.faults = [fault] * 9
    with pytest.raises(
        EndpointError, match=rf"{server.url}/x: no answer after 4 attempts; the last met: .*{met}.*run the same command"
    ):
        client(server.url).post(f"{server.url}/x", {"n": 1}, read)
    assert len(server.seen) == 4


def test_nobody_listening_is_an_endpoint_error():
    with pytest.raises(EndpointError, match="no answer after 2 attempts; the last met: ConnectError"):
        client("http://127.0.0.1:9", attempts=2).get("http://127.0.0.1:9/v1/models")


def test_waits_double_and_a_server_that_asks_for_longer_gets_it(between):
    server = between(echo)
    server.faults = ["429", "429", "429"]
    began = time.monotonic()
    client(server.url, first_wait_s=0.1).post(f"{server.url}/x", {"n": 1}, read)
    assert time.monotonic() - began >= 0.35  # at least half of 0.1 + 0.2 + 0.4
    server.faults = ["429 after 0.4"]
    began = time.monotonic()
    client(server.url).post(f"{server.url}/x", {"n": 1}, read)
    assert time.monotonic() - began >= 0.4
    server.faults = [f"503 after {email.utils.formatdate(time.time() + 2, usegmt=True)}"]
    began = time.monotonic()
    client(server.url).post(f"{server.url}/x", {"n": 1}, read)
    assert time.monotonic() - began >= 0.9  # dates are whole seconds


def test_a_wait_of_an_hour_is_left_to_the_user(between):
    server = between(echo)
    server.faults = ["429 after 3600"]
    with pytest.raises(EndpointError, match=r"after 1 attempt;.*asks to wait 3600 s, which is longer than 600 s"):
        client(server.url).post(f"{server.url}/x", {"n": 1}, read)


@pytest.mark.parametrize(("status", "fix"), [(400, ""), (401, "sent with no key"), (404, "address of an OpenAI-compatible server")])
def test_what_does_not_pass_is_not_asked_again(between, status, fix):
    server = between(echo)
    server.faults = [str(status)]
    with pytest.raises(Refusal, match=rf"/x refuses: status {status}: .*out of order.*{fix}") as caught:
        client(server.url).post(f"{server.url}/x", {"n": 1}, read)
    assert caught.value.status == status
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("https://a.example/v1/chat/completions", "https://a.example/v1"),
        ("https://a.example/api/v1beta/openai", "https://a.example/api/v1beta/openai"),
    ],
)
def test_addresses_are_taken_with_and_without_their_end(url, base):
    assert client(url).base == base


def test_what_is_no_address_or_holds_a_secret_is_refused_without_showing_it():
    with pytest.raises(UsageError, match=r"'127\.0\.0\.1:8080' is no URL of a server"):
        client("127.0.0.1:8080")
    for url in ("https://me:hidden@a.example/v1", "https://a.example/v1?key=hidden"):
        with pytest.raises(UsageError, match=r"a\.example holds a user, a password or a query") as caught:
            client(url)
        assert "hidden" not in str(caught.value)


def test_a_key_that_is_missing_or_none_names_its_variable_only(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UsageError, match="that the endpoint's key_variable names is not set or empty") as caught:
        client("http://127.0.0.1:9", key_variable="SOME_KEY")
    assert "SOME_KEY" not in str(caught.value)  # it may be a key in capitals
    monkeypatch.setenv("SOME_KEY", "hidden\nX-Other: 1")
    with pytest.raises(UsageError, match="SOME_KEY holds characters that no key has") as caught:
        client("http://127.0.0.1:9", key_variable="SOME_KEY")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-hidden", "hf_hidden", "gsk_hidden", "hidden", ""])
def test_a_key_given_in_place_of_its_variable_is_not_shown(key):
    with pytest.raises(ValidationError, match="never the key itself") as caught:
        EndpointConfig(url="http://127.0.0.1:9", key_variable=key)
    with pytest.raises(RecipeError, match="never the key itself") as again:
        load_suite_settings(["judge.url=http://127.0.0.1:9", f"judge.key_variable='{key}'"])
    assert "hidden" not in f"{caught.value} {again.value} {again.value.problems}"


def test_the_wait_by_default_outlasts_a_limit_by_the_minute():
    config = EndpointConfig(url="http://127.0.0.1:9")
    waits = [min(config.first_wait_s * 2**at, 60) / 2 for at in range(config.attempts - 1)]  # the least that jitter leaves
    assert sum(waits) > 60
