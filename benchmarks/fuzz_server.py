"""Requests to the server by the thousand: most are valid and answered, the others are what nobody would send.

    python benchmarks/fuzz_server.py MODEL [--requests 10000] [--out benchmarks/fuzz_server.json]

Three fifths are valid in every field, with short answers, streamed or not, some of them left by the client in the middle. The
others are made from the server's own description by schemathesis, or by hand. Counted are answers by status, answers that do not
match the description, and what the server's process holds: memory (its mean over the last third of the requests against the
first third, after a warm-up of a tenth), open files, threads, slots. What does not hold ends the script with status 1.
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
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from pellucid.core.environment import code_version, environment

MOST_TOKENS = 8  # short answers: it is requests that are counted
VALID, WARM_UP, MOST_DRIFT = 0.6, 0.1, 0.05
STREAMS_FOR_ONE_LEFT = 20  # of so many the client leaves one after its first line
BY_HAND = (
    b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b"[" * 200_000, b'{"prompt": "\\ud800"}', b'{"prompt": NaN}',
    b'{"prompt": "a", "max_tokens": 1e400}', b'{"prompt": "a", "n": 128, "max_tokens": 1}', b'{"prompt": [[1],[2,"a"]]}',
    b'{"prompt": "' + b"a" * 5_000_000 + b'"}', b'{"prompt": "a", "prompt": 5}', b'{"prompt": "\\u0000\\u202e", "max_tokens": 1}',
    b'{"prompt": "a", "stop": ["", ""]}', b'{"prompt": "a", "seed": -9223372036854775808, "max_tokens": 2}',
    b'{"prompt": "a", "echo": true, "max_tokens": 0, "logprobs": 20}',
    b'{"messages": [{"role": "user", "content": "{{ 7 * 7 }}"}]}',
)  # fmt: skip


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
WORDS = st.lists(st.sampled_from(["The river", "Die Würde", "x = 1", "久久夜色", "🎉", "\n", "<|endoftext|>", "{{ 7 * 7 }}"]), min_size=1,  # noqa: E501
                 max_size=6).map(" ".join)  # fmt: skip
PROMPT = st.one_of(WORDS, TEXT)
SETTINGS: dict[str, st.SearchStrategy[object]] = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0.01, 1),
    "seed": st.integers(0, 2**31),
    "n": st.integers(1, 2),
    "stop": st.one_of(TEXT, st.lists(TEXT, min_size=1, max_size=4)),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "logit_bias": st.dictionaries(st.integers(0, 200).map(str), st.floats(-100, 100), max_size=4),
    "user": TEXT,
}


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """A path and a body that are valid in every field."""
    some = draw(st.sets(st.sampled_from(sorted(SETTINGS)), max_size=4))
    body: dict[str, object] = {name: draw(SETTINGS[name]) for name in sorted(some)}
    body["max_tokens"] = draw(st.integers(1, MOST_TOKENS))
    if draw(st.booleans()):
        body["stream"] = True
        body |= draw(st.sampled_from([{}, {"stream_options": {"include_usage": True}}]))
    if draw(st.booleans()):
        ids = st.lists(st.integers(3, 200), min_size=1, max_size=20)
        body["prompt"] = draw(
            st.one_of(PROMPT, st.lists(PROMPT, min_size=1, max_size=2), ids, st.lists(ids, min_size=1, max_size=2))
        )
        body |= draw(st.sampled_from([{}, {"logprobs": 0}, {"logprobs": 5}, {"echo": True}, {"echo": True, "logprobs": 1}]))
        return "/v1/completions", body
    turns = draw(st.lists(PROMPT, min_size=1, max_size=3))
    turns = turns if len(turns) % 2 else turns[:-1]
    body["messages"] = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]
    body |= draw(st.sampled_from([{}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}]))
    return "/v1/chat/completions", body


def start(model: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "pellucid", "serve", model, "--port", "0", "--deadline-s", "60"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, next(word for word in line.split() if word.startswith("http")).removesuffix("/v1")


def held(pid: int) -> dict[str, int]:
    """What a process holds: resident bytes, open files, threads."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "bytes": resident,
        "files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "threads": sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
    }


class Fuzz:
    def __init__(self, server: subprocess.Popen[str], url: str, requests: int) -> None:
        self.server, self.url, self.requests = server, url, requests
        self.statuses: Counter[int] = Counter()
        self.unlike: Counter[str] = Counter()
        self.dropped = self.done = 0
        self.held: list[dict[str, int]] = []
        self.valid: Counter[str] = Counter()
        self.refused_examples: list[str] = []
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=120)

    def note(self, status: int) -> None:
        self.statuses[status] += 1
        self.done += 1
        if self.done % max(1, self.requests // 100) == 0:
            self.held.append(held(self.server.pid))
            now = self.held[-1]["bytes"] / 2**20
            print(f"{self.done} requests, {now:.0f} MiB, {dict(self.statuses)}", file=sys.stderr, flush=True)

    def some(self, count: int) -> None:
        """Ask for `count` answers, valid in every field; each must be 200, or an error in words about the prompt's length."""

        @given(one=asked(), place=st.sampled_from(range(STREAMS_FOR_ONE_LEFT)))
        @settings(max_examples=max(1, count), deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet)  # fmt: skip
        def ask(one: tuple[str, dict[str, object]], place: int) -> None:
            path, body = one
            try:
                with self.http.stream("POST", path, json=body) as response:
                    if body.get("stream") and place == STREAMS_FOR_ONE_LEFT - 1:
                        next(response.iter_lines(), "")
                        self.valid["left in the middle"] += 1
                    else:
                        text = response.read().decode()
                        ends = not body.get("stream") or text.rstrip().endswith("data: [DONE]")
                        whole = response.status_code == 200 and ends and '"error"' not in text
                        self.valid["answered" if whole else f"status {response.status_code}, not whole"] += 1
                        if not whole and len(self.refused_examples) < 5:
                            self.refused_examples.append(f"{path} {json.dumps(body)[:300]}: {text[-300:]}")
                    self.note(response.status_code)
            except httpx.TransportError as error:
                self.valid[f"no answer: {type(error).__name__}"] += 1
                self.dropped += 1

        ask()

    def by_hand(self) -> None:
        for path in ("/v1/completions", "/v1/chat/completions", "/v1/models/%00", "/../../etc/passwd"):
            for body in BY_HAND:
                try:
                    self.note(self.http.post(path, content=body, headers={"content-type": "application/json"}).status_code)
                except httpx.TransportError:
                    self.dropped += 1  # a body that is too long is not read to its end

    def by_description(self, requests: int) -> None:
        schema = schemathesis.openapi.from_dict(self.http.get("/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        share = {"/v1/completions": 0.45, "/v1/chat/completions": 0.45}
        for operation in operations:
            count = round(requests * share.get(operation.path, 0.1 / (len(operations) - 2)))
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
                operation_checks = [schemathesis.checks.status_code_conformance]
                if "event-stream" not in str(response.headers.get("content-type")):  # described as one text, read by lines
                    operation_checks.append(schemathesis.checks.response_schema_conformance)
                case.validate_response(response, checks=operation_checks)
            except (Exception, BaseExceptionGroup) as error:
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
        # In turns, so that a leak of one sort is not taken for another's warm-up.
        fuzz.by_hand()
        turns = 4
        for _ in range(turns):
            fuzz.some(round(arguments.requests * VALID / turns))
            fuzz.by_description(max(8, round((arguments.requests * (1 - VALID) - 4 * len(BY_HAND)) / turns)))
        crashed = server.poll() is not None
        health = None if crashed else fuzz.http.get("/health").status_code
        result = {
            "code": code_version(),
            "machine": environment(),
            "model": Path(arguments.model).name,
            "schemathesis": schemathesis.__version__,
            "requests": fuzz.done,
            "seconds": round(time.monotonic() - began, 1),
            "statuses": {str(status): count for status, count in sorted(fuzz.statuses.items())},
            "valid": dict(fuzz.valid),
            "valid_but_not_answered": fuzz.refused_examples,
            "answers_5xx": sum(count for status, count in fuzz.statuses.items() if status >= 500),
            "without_an_answer": fuzz.dropped,
            "unlike_the_description": dict(fuzz.unlike),
            "crashed": crashed,
            "health_at_the_end": health,
            "held": thirds(fuzz.held),
            "engine_at_the_end": None if crashed else at_rest(fuzz.http),
        }
        result["faults"] = faults(result)
    finally:
        server.terminate()
        server.wait(60)
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)
    sys.exit(1 if result["faults"] else 0)


def thirds(noted: list[dict[str, int]]) -> dict[str, dict[str, float]]:
    """Of each thing held, its mean over the first and the last third after the warm-up, how much it grew, and the most."""
    after = noted[round(len(noted) * WARM_UP) :]
    third = max(1, len(after) // 3)
    table = {}
    for name in ("bytes", "files", "threads"):
        values = [one[name] for one in after]
        first, last = sum(values[:third]) / third, sum(values[-third:]) / third
        table[name] = {"first_third": first, "last_third": last, "drift": round(last / first - 1, 4), "most": max(values)}
    return table


def at_rest(http: httpx.Client) -> dict[str, int]:
    """The engine's gauges once nothing is asked any more; a client that left frees its slot within seconds."""
    for _ in range(100):
        lines = dict(line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line and line[0] != "#")
        names = ("slots", "running", "waiting", "cancelled_total", "failed_total", "new_tokens_total")
        found = {name: int(float(lines[f"pellucid_engine_{name}"])) for name in names}
        if not found["running"] and not found["waiting"]:
            break
        time.sleep(0.1)
    return found


def faults(result: dict[str, Any]) -> list[str]:
    """What does not hold, a line each."""
    found = []
    valid, engine, held_ = result["valid"], result["engine_at_the_end"], result["held"]
    wrong = {name: count for name, count in valid.items() if name not in ("answered", "left in the middle")}
    if wrong:
        found.append(f"valid requests without a whole answer: {wrong}")
    if valid.get("answered", 0) < result["requests"] / 2:
        found.append(f"only {valid.get('answered', 0)} of {result['requests']} requests were valid and answered")
    if result["crashed"] or result["health_at_the_end"] != 200:
        found.append(f"the server is not well at the end: health {result['health_at_the_end']}")
    if result["answers_5xx"]:
        found.append(f"{result['answers_5xx']} answers with 5xx")
    if held_["bytes"]["drift"] >= MOST_DRIFT:
        found.append(f"memory grew by {held_['bytes']['drift']:.1%}; the limit is {MOST_DRIFT:.0%}")
    found += [
        f"{name}: {held_[name]['first_third']:.1f} at first, {held_[name]['last_third']:.1f} at last"
        for name in ("files", "threads")
        if held_[name]["last_third"] > held_[name]["first_third"] + 4
    ]
    if engine is None or engine["running"] or engine["waiting"] or engine["failed_total"]:
        found.append(f"the engine at the end: {engine}")
    return found


if __name__ == "__main__":
    main()
