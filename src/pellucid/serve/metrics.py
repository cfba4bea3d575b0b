"""Counters and histograms in Prometheus' text form (exposition format 0.0.4)."""

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate

from pellucid.generate.engine import EngineStats

__all__ = ["Metrics"]

_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_ENGINE = {
    "slots": ("gauge", "sequences that can run at once"),
    "running": ("gauge", "sequences that run now"),
    "waiting": ("gauge", "sequences that wait for a slot"),
    "finished": ("counter", "sequences that have ended, however they did"),
    "prompt_tokens": ("counter", "tokens of prompts that were read, or were in a cache"),
    "reused_tokens": ("counter", "tokens of prompts that were in a cache"),
    "new_tokens": ("counter", "tokens written"),
    "cancelled": ("counter", "sequences given up"),
    "failed": ("counter", "sequences that failed in the engine"),
    "proposed_tokens": ("counter", "tokens that a small model proposed"),
    "accepted_tokens": ("counter", "proposed tokens that the model wrote as well"),
}


class Metrics:
    """What the server counts. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: Counter[tuple[str, int]] = Counter()
        self._times = {
            "request_seconds": (_Histogram(), "time from a request's arrival to its end"),
            "first_token_seconds": (_Histogram(), "time from a request's arrival to the first text of its answer"),
        }

    def responded(self, endpoint: str, status: int) -> None:
        """Count a response."""
        with self._lock:
            self._responses[endpoint, status] += 1

    def took(self, name: str, seconds: float) -> None:
        """Note how long something took: `request_seconds` or `first_token_seconds`."""
        with self._lock:
            self._times[name][0].add(seconds)

    def text(self, stats: EngineStats) -> str:
        """Return everything, with what the engine says of itself."""
        lines = []
        with self._lock:
            lines += _head("pellucid_responses_total", "counter", "responses by endpoint and status")
            lines += [
                f'pellucid_responses_total{{endpoint="{endpoint}",status="{status}"}} {count}'
                for (endpoint, status), count in sorted(self._responses.items())
            ]
            for name, (histogram, text) in self._times.items():
                lines += _head(f"pellucid_{name}", "histogram", text) + histogram.lines(f"pellucid_{name}")
        for name, (kind, text) in _ENGINE.items():
            full = f"pellucid_engine_{name}" + ("_total" if kind == "counter" else "")
            lines += [*_head(full, kind, text), f"{full} {getattr(stats, name)}"]
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(_BOUNDS_S, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        up_to = list(accumulate(self._counts))
        labels = [*map(str, _BOUNDS_S), "+Inf"]
        buckets = [f'{name}_bucket{{le="{label}"}} {count}' for label, count in zip(labels, up_to, strict=True)]
        return [*buckets, f"{name}_sum {self._sum}", f"{name}_count {up_to[-1]}"]


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
