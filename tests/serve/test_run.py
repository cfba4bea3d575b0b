import json
import logging
import signal
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from pellucid.core.errors import UsageError
from pellucid.serve.run import listen
from pellucid.serve.settings import ServerSettings


def test_an_address_that_is_taken_is_told():
    with listen(ServerSettings(port=0)) as taken:
        taken.listen()
        with pytest.raises(UsageError, match=r"cannot listen on 127\.0\.0\.1"):
            listen(ServerSettings(port=taken.getsockname()[1]))


def test_a_name_that_leads_nowhere_is_told():
    with pytest.raises(UsageError, match=r"no-such-host\.invalid"):
        listen(ServerSettings(host="no-such-host.invalid", key="sixteen-letters-and-more", port=0))


LONG = {"prompt": [7] * 200, "max_tokens": 56, "n": 128, "logprobs": 20, "echo": True}


@contextmanager
def logged():
    """Collect what is logged from here on."""
    found = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append((record.levelname, record.getMessage()))
    logging.getLogger("uvicorn.error").addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger("uvicorn.error").removeHandler(handler)


def asked(server, body):
    """Ask in a thread of its own; return the thread and a list, in which the answer comes."""
    found = []

    def ask():
        with httpx.Client(trust_env=False, timeout=60) as http:
            found.append(http.post(f"{server.url}/v1/completions", json=body))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: server.app.state.admission.inside == body["n"])
    return thread, found


def until(told, seconds=30):
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
def test_what_outlasts_the_time_to_stop_is_told_so_and_no_error_is_logged(start, torch_served, stream):
    server = start(torch_served, drain_s=0.1)
    thread, found = asked(server, LONG | {"stream": stream})
    with logged() as told:
        server.server.handle_exit(signal.SIGTERM, None)
        thread.join(60)
        server.thread.join(60)
    (answer,) = found
    assert not server.thread.is_alive() and answer.status_code == (200 if stream else 503)
    last = answer.text.strip().splitlines()[-1].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == "stopping"
    assert told == [("WARNING", "1 requests still ran after 0.1 s and were given up")]


def test_a_second_signal_does_not_wait_for_a_stream_that_nobody_reads(start, torch_served):
    server = start(torch_served, drain_s=600)
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as connection, logged() as told:
        body = json.dumps(LONG | {"stream": True}).encode()
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        connection.sendall(head.format(len(body)).encode() + body)
        until(lambda: server.app.state.admission.inside == 128)
        server.server.handle_exit(signal.SIGTERM, None)
        until(lambda: not server.server.servers[0].is_serving())
        assert server.thread.is_alive() and server.server.server_state.connections
        server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(30)
        assert not server.thread.is_alive()
    assert server.app.state.admission.inside == 0 and not server.server.server_state.connections and told == []
