"""Requests that nobody would send, thousands of them, made from the server's own description by schemathesis; some made by hand.

    python benchmarks/fuzz_server.py MODEL.gguf [--requests 10000] [--out benchmarks/fuzz_server.json]

Counted are answers by status, answers that do not match the description, crashes, and how the memory of the server's process grows
after the first tenth, when caches are full.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from pellucid.core.environment import code_version, environment

MOST_TOKENS = 8  # short answers: it is requests that are counted
BY_HAND = (
    b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b"[" * 200_000, b'{"prompt": "\\ud800"}', b'{"prompt": NaN}',
    b'{"prompt": "a", "max_tokens": 1e400}', b'{"prompt": "a", "n": 128, "max_tokens": 1}', b'{"prompt": [[1],[2,"a"]]}',
    b'{"prompt": "' + b"a" * 5_000_000 + b'"}', b'{"prompt": "a", "prompt": 5}', b'{"prompt": "\\u0000\\u202e", "max_tokens": 1}',
    b'{"prompt": "a", "stop": ["", ""]}', b'{"prompt": "a", "seed": -9223372036854775808, "max_tokens": 2}',
    b'{"prompt": "a", "echo": true, "max_tokens": 0, "logprobs": 20}',
    b'{"messages": [{"role": "user", "content": "{{ 7 * 7 }}"}]}',
)  # fmt: skip


def start(model: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "pellucid", "serve", model, "--port", "0", "--context", "256", "--deadline-s", "60"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, next(word for word in line.split() if word.startswith("http")).removesuffix("/v1")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Fuzz:
    def __init__(self, server: subprocess.Popen[str], url: str, requests: int) -> None:
        self.server, self.url, self.requests = server, url, requests
        self.statuses: Counter[int] = Counter()
        self.unlike: Counter[str] = Counter()
        self.dropped = self.done = 0
        self.memory: list[int] = []
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=120)

    def note(self, status: int) -> None:
        self.statuses[status] += 1
        self.done += 1
        if self.done % max(1, self.requests // 50) == 0:
            self.memory.append(resident_bytes(self.server.pid))
            print(f"{self.done} requests, {self.memory[-1] / 2**20:.0f} MiB, {dict(self.statuses)}", file=sys.stderr, flush=True)

    def by_hand(self) -> None:
        for path in ("/v1/completions", "/v1/chat/completions", "/v1/models/%00", "/../../etc/passwd"):
            for body in BY_HAND:
                try:
                    self.note(self.http.post(path, content=body, headers={"content-type": "application/json"}).status_code)
                except httpx.TransportError:
                    self.dropped += 1  # a body that is too long is not read to its end

    def by_description(self) -> None:
        schema = schemathesis.openapi.from_dict(self.http.get("/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        share = {"/v1/completions": 0.45, "/v1/chat/completions": 0.45}
        for operation in operations:
            count = round((self.requests - self.done) * share.get(operation.path, 0.1 / (len(operations) - 2)))
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                try:
                    strategy = operation.as_strategy(generation_mode=mode)
                    self._ask(strategy, count // 2)
                except Exception as error:  # an operation without anything to get wrong has no negative cases
                    print(f"{operation.label}, {mode}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)

    def _ask(self, strategy: object, count: int) -> None:
        @given(case=strategy)  # type: ignore[arg-type]
        @settings(
            max_examples=max(1, count),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        def ask(case: schemathesis.Case) -> None:
            asked = case.body.get("max_tokens") if isinstance(case.body, dict) else 0
            if asked is None or (type(asked) is int and asked > MOST_TOKENS):
                case.body["max_tokens"] = random.randint(1, MOST_TOKENS)
            try:
                response = case.call(base_url=self.url)
            except Exception as error:
                self.unlike[f"no answer: {type(error).__name__}"] += 1
                self.dropped += 1
                return
            self.note(response.status_code)
            try:
                case.validate_response(response, checks=[schemathesis.checks.not_a_server_error])
                operation_checks = [schemathesis.checks.response_schema_conformance, schemathesis.checks.status_code_conformance]
                case.validate_response(response, checks=operation_checks)
            except Exception as error:
                self.unlike[str(error).strip().splitlines()[0][:120]] += 1

        ask()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    server, url = start(arguments.model)
    began = time.monotonic()
    try:
        fuzz = Fuzz(server, url, arguments.requests)
        fuzz.by_hand()
        fuzz.by_description()
        crashed = server.poll() is not None
        health = None if crashed else fuzz.http.get("/health").status_code
        after_warm = fuzz.memory[len(fuzz.memory) // 10 :]
        result = {
            "code": code_version(),
            "machine": environment(),
            "model": Path(arguments.model).name,
            "schemathesis": schemathesis.__version__,
            "requests": fuzz.done,
            "seconds": round(time.monotonic() - began, 1),
            "statuses": {str(status): count for status, count in sorted(fuzz.statuses.items())},
            "answers_5xx": sum(count for status, count in fuzz.statuses.items() if status >= 500),
            "without_an_answer": fuzz.dropped,
            "unlike_the_description": dict(fuzz.unlike),
            "crashed": crashed,
            "health_at_the_end": health,
            "memory_bytes": {"after_a_tenth": after_warm[0], "at_the_end": after_warm[-1], "most": max(fuzz.memory)},
            "memory_drift": round(after_warm[-1] / after_warm[0] - 1, 4),
        }
    finally:
        server.terminate()
        server.wait(60)
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
