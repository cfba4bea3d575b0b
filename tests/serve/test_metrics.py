import re

from pellucid.generate.engine import EngineStats
from pellucid.serve.metrics import Metrics

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


def test_the_text_is_prometheus_and_its_histogram_adds_up():
    metrics = Metrics()
    for _ in range(3):
        metrics.responded("/health", 200)
    for seconds in (0.01, 0.02, 4.0, 1000.0):
        metrics.took("request_seconds", seconds)
    lines = metrics.text(EngineStats(4, 1, 2, 3, 40, 5, 60, 0, 0)).splitlines()
    assert 'pellucid_responses_total{endpoint="/health",status="200"} 3' in lines
    assert 'pellucid_request_seconds_bucket{le="0.01"} 1' in lines
    assert 'pellucid_request_seconds_bucket{le="5.0"} 3' in lines
    assert 'pellucid_request_seconds_bucket{le="+Inf"} 4' in lines
    assert "pellucid_request_seconds_count 4" in lines
    assert "pellucid_engine_new_tokens_total 60" in lines and "pellucid_engine_waiting 2" in lines
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#"))
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert all(any(line.startswith(name) for line in lines) for name in named)
