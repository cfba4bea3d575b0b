import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pellucid.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "no key is set"),
        (["--key-variable", "PELLUCID_NO_SUCH_KEY"], "is not set"),
        (["--deadline-s", "0"], "deadline_s is 0.0"),
        (["--slots", "0"], "--slots 0"),
    ],
)
def test_what_would_be_unsafe_or_useless_is_refused_before_anything_is_loaded(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "no-such-model", *flags]) == 2
    assert said in capsys.readouterr().err


def test_sigterm_finishes_what_runs_refuses_what_is_new_and_leaves(finished_run: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("xllamacpp")
    file = finished_run / "exports" / "gguf" / "model-F16.gguf"
    command = [sys.executable, "-m", "pellucid", "serve", str(file), "--port", "0", "--threads", "1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    watchdog = threading.Timer(120, server.kill)
    watchdog.start()
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http"))
        body = {
            "prompt": "The",
            "max_tokens": 60,
            "stream": True,
            "logprobs": 20,
            "echo": True,
            "n": 8,
            "temperature": 2,
            "seed": 1,
        }
        with httpx.Client(trust_env=False, timeout=60) as http, http.stream("POST", f"{url}/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            server.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert sum('"finish_reason":"' in line for line in rest) == 8
        assert server.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models", trust_env=False)
    finally:
        watchdog.cancel()
        server.kill()
        server.wait()
