"""A real llama.cpp server with a tiny random model, a real HTTP server that breaks things on the way to it, subjects by a rule."""

import http.server
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from pellucid.evals.endpoint.endpoint import Endpoint, open_endpoint
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import EndpointConfig
from pellucid.tokenizer.training import train_bpe

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}|{{ m['content'] }}]{% endfor %}{{ '[assistant|' if add_generation_prompt }}"
CONTEXT_TOKENS = 2048


@dataclass
class Tiny:
    """A model of two layers, away from its initialisation, its tokenizer, and the GGUF file of both."""

    model: Decoder
    tokenizer: object
    path: os.PathLike

    def log_probabilities(self, ids):
        """Natural logs of each next token's probabilities, [T, V]."""
        with torch.no_grad():
            return self.model.logits(self.model(torch.tensor([ids])))[0].double().log_softmax(-1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    shape = {"vocab_tokens": 608, "context_tokens": CONTEXT_TOKENS, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2}
    shape |= {"mlp_hidden": 96, "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "init_std": 0.1}
    model = Decoder(ModelConfig(**shape, tied_head=False))
    init_weights(model, 5)
    tokenizer = train_bpe(probe_texts() * 2, 600)
    with torch.no_grad():
        model.head.weight[tokenizer.eos_id :] = 0  # special tokens are never the likeliest: only a limit ends greedy text
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    chat = ChatExport(TEMPLATE, (tokenizer.eos_id,))
    pytest.importorskip("gguf")
    write_gguf(model.state_dict(), model.config, tokenizer, path, dtype="F32", name="tiny", chat=chat)
    return Tiny(model.eval().to(torch.float32), tokenizer, path)


@pytest.fixture(scope="session")
def llama(tiny):
    """The address of a real llama.cpp server."""
    pytest.importorskip("xllamacpp")
    with LlamaCpp(tiny.path, CONTEXT_TOKENS) as runtime:
        yield runtime._server.listening_address


@dataclass
class Between:
    """A real HTTP server that injects faults, in their order, into requests that POST, and lets the others through.

    A fault is a status ("503"), a status with a wait ("429 after 0.3"), "garbage", "empty" (JSON of another kind), "half" (a body
    cut off) or "drop" (the connection is closed). Behind it stands another server, or a function of path and body.
    """

    url: str
    behind: object
    faults: list[str] = field(default_factory=list)
    seen: list[tuple[str, dict, dict]] = field(default_factory=list)
    said: str = "out of order"


@pytest.fixture
def between():
    """Makes a server in front of a URL, or of a function `(path, body) → (status, JSON)`."""
    servers = []

    def make(behind) -> Between:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.between = Between(f"http://127.0.0.1:{server.server_port}", behind)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server.between

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._forward(None)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        between: Between = self.server.between
        between.seen.append((self.path, dict(self.headers), body))
        fault = between.faults.pop(0) if between.faults else None
        if fault is None:
            self._forward(body)
        elif fault == "drop":
            self.close_connection = True
        elif fault == "half":
            self._send(200, b'{"choices": [', length=500)
            self.close_connection = True
        elif fault in ("garbage", "empty"):
            self._send(200, b"<html>busy</html>" if fault == "garbage" else b'{"object": "nothing"}')
        else:
            status, _, wait = fault.partition(" after ")
            self._send(int(status), json.dumps({"error": between.said}).encode(), retry_after=wait)

    def _forward(self, body):
        behind = self.server.between.behind
        if callable(behind):
            status, answer = behind(self.path, body)
            return self._send(status, json.dumps(answer).encode())
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(behind + self.path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
                return self._send(200, response.read(), server=response.headers["server"])
        except urllib.error.HTTPError as error:
            return self._send(error.code, error.read(), server=error.headers["server"])

    def _send(self, status, data, length=None, retry_after="", server="python"):
        self.send_response_only(status)
        self.send_header("Server", server)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(data)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def open_at():
    """Opens an endpoint that waits hardly at all between attempts."""

    def make(url: str, **fields) -> Endpoint:
        return open_endpoint(EndpointConfig(url=url, **({"first_wait_s": 0.01, "attempts": 4} | fields)))

    return make


class Rule:
    """A `Subject` that answers by `answer(prompt)` and finds `nats(pair)` in a continuation; its tokens are words."""

    label = "a rule"
    identity: Mapping[str, Any] = {"kind": "rule"}
    context_tokens = 2048

    def __init__(self, answer: Callable[[str], str], nats: Callable[[Pair], float]) -> None:
        self._answer, self._nats = answer, nats
        self.usage = Usage()
        self.pairs: list[Pair] = []
        self.prompts: list[str] = []

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        on_done(len(pairs))
        self.pairs += pairs
        return [Likelihood(self._nats(pair), len(pair.continuation.split()), False) for pair in pairs]

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise AssertionError("no suite that is tested with a rule asks for this")

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        assert len(seeds) == len(prompts)
        on_done(len(prompts))
        self.prompts += prompts
        return [Answer(self._answer(prompt), "stop", 5, 5) for prompt in prompts]

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        raise AssertionError("no suite that is tested with a rule asks for this")

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def make_rule() -> type[Rule]:
    return Rule
