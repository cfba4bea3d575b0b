"""The suites that talk, with a real chat model on both sides: SmolLM2-135M behind llama.cpp's server answers, and judges itself.

python benchmarks/chat_suites.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --data ../shared/data/bench

MT-Bench, some questions of two turns: graded, killed with SIGKILL on the way and gone on with, then compared with itself in pairs,
where no answer can be better than the other: how often is a place preferred? The needle's quick grid: in our own decoder, and by
the server. A model of 135 M parameters is a poor judge: what is measured is whether the suites carry real answers and nonsense.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import xllamacpp

from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json

SLOTS = 4
MT_BENCH = ("mt_bench.answer_tokens=256", "mt_bench.judge_tokens=512", "mt_bench.judge_attempts=2", "mt_bench.together=1")
KEPT = ("complete", "facts", "tasks", "usage", "seconds")


def serve(gguf: Path) -> Any:
    """Return llama.cpp's server with room for a conversation of 4 096 tokens in each of its slots."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_parallel = SLOTS
    params.n_ctx = 4096 * SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.verbosity = -1
    return xllamacpp.Server(params)


def command(target: str, suite: str, out: Path, *settings: str, **flags: object) -> list[str]:
    named = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    changed = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "pellucid", "evaluate", target, "--suite", suite, "--out", str(out), *named, *changed]


def evaluate(target: str, suite: str, out: Path, *settings: str, **flags: object) -> dict[str, Any]:
    """Run the suite to its end and return what its result says, with the seconds that the command took."""
    started = time.monotonic()
    subprocess.run(command(target, suite, out, *settings, **flags), check=True)
    result = json.loads((out / suite / "result.json").read_bytes())
    return {"command_s": time.monotonic() - started, **{name: result[name] for name in KEPT}}


def kill_after(lines: int, call: list[str], items: Path) -> int:
    """Run the command until it has written so many lines, kill it, and return how many there are."""

    def written() -> int:
        return items.read_bytes().count(b"\n") if items.is_file() else 0

    with subprocess.Popen(call) as process:
        while written() < lines and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    return written()


def mt_bench(url: str, data: Path, limit: int, scratch: Path) -> dict[str, Any]:
    flags = {"data_dir": data, "limit": limit, "judge": url}
    out = scratch / "single"
    # Every question is answered, half of them are judged.
    kept = kill_after(limit + limit // 2, command(url, "mt_bench", out, *MT_BENCH, **flags), out / "mt_bench" / "items.jsonl")
    before = (out / "mt_bench" / "items.jsonl").read_bytes()
    single = evaluate(url, "mt_bench", out, *MT_BENCH, **flags)
    whole = before[: before.rfind(b"\n") + 1]
    paired = ("mt_bench.mode=pairwise", f"mt_bench.against={out / 'mt_bench'}")
    return {
        "questions": limit,
        "settings": MT_BENCH,
        "lines_when_killed": kept,
        "those_lines_are_kept": (out / "mt_bench" / "items.jsonl").read_bytes().startswith(whole),
        "single": single,
        "pairwise_with_itself": evaluate(url, "mt_bench", scratch / "pairs", *MT_BENCH, *paired, **flags | {"limit": limit // 2}),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gguf", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--questions", type=int, default=4)
    arguments.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = arguments.parse_args()
    server = serve(options.gguf)
    url = server.listening_address
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = {
            "mt_bench": mt_bench(url, options.data, options.questions, scratch),
            "needle_in_our_decoder": evaluate(str(options.gguf), "needle", scratch / "ours", "needle.quick=true"),
            "needle_by_the_server": evaluate(url, "needle", scratch / "server", "needle.quick=true"),
        }
    write_json(
        options.out,
        {
            "command": "python benchmarks/chat_suites.py --gguf … --data …",
            "code": code_version(),
            "environment": environment(),
            "file_sha256": sha256_file(options.gguf),
            **found,
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
