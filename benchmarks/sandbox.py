"""Hostile programs against the sandbox: how many escape, with all measures and with some left out, and what a program costs.

    python benchmarks/sandbox.py

The programs are those of tests/evals/code/hostile, each let loose in a world of its own (tests/evals/code/world.py), which sees
what it achieves. Programs marked control or forges are also run without any sandbox, to show that they do what they try there.
Where too few measures are left, no program is run: "refused" says so.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pellucid.core.environment import code_version, environment
from pellucid.core.errors import UsageError
from pellucid.core.files import write_json
from pellucid.evals.code.job import Check
from pellucid.evals.code.sandbox import Sandbox

HERE = Path(__file__).parent
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "all measures": (),
    "without namespaces": ("namespaces",),
    "without seccomp": ("seccomp",),
    "without Landlock": ("landlock",),
    "without the user nobody": ("nobody",),
    "namespaces only": ("seccomp", "landlock"),
    "seccomp only": ("namespaces", "landlock"),
    "Landlock only": ("namespaces", "seccomp"),
}


def load_world() -> Any:
    spec = importlib.util.spec_from_file_location("hostile_world", HERE.parent / "tests/evals/code/world.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostile_world"] = module
    spec.loader.exec_module(module)
    return module


def attacked(world: Any, without: tuple[Any, ...], folder: Path) -> dict[str, Any]:
    sandbox = Sandbox(world.LIMITS, without=without)
    try:
        sandbox.test()
    except UsageError as error:
        return {"refused": str(error).splitlines()[0], "programs": 0, "escaped": 0}
    filtered = "seccomp" not in without
    outcomes: dict[str, int] = {}
    escapes, beyond_filter = {}, []
    for hostile in world.hostile_programs():
        with world.World(folder).standing() as one:
            outcome = sandbox.run(one.program(hostile), one.check())
            outcomes[outcome.status] = outcomes.get(outcome.status, 0) + 1
            if found := one.escapes(outcome, filtered=filtered):
                escapes[hostile.name] = found
            if f"FORBIDDEN{one.nonce}" in outcome.output:
                beyond_filter.append(hostile.name)
    return {
        "measures": sandbox.facts["measures"],
        "programs": sum(outcomes.values()),
        "escaped": len(escapes),
        "escapes": escapes,
        "outcomes": outcomes,
        "made calls that the filter forbids": beyond_filter,
    }


def controls(world: Any, folder: Path) -> dict[str, Any]:
    chosen = [hostile for hostile in world.hostile_programs() if hostile.flag in ("control", "forges")]
    seen = []
    for hostile in chosen:
        with world.World(folder).standing() as one:
            if one.escapes(one.run_without_sandbox(hostile)):
                seen.append(hostile.name)
    return {"programs": len(chosen), "escaped": len(seen), "not_seen": [one.name for one in chosen if one.name not in seen]}


def overhead(runs: int) -> dict[str, Any]:
    """Seconds for a program that does next to nothing: a bare interpreter, and the sandbox."""
    check, program = Check("assert f(2) == 4", ("f",)), "def f(x):\n    return x * x\n"
    sandbox = Sandbox()
    began = time.perf_counter()
    sandbox.test()
    tested = time.perf_counter() - began

    def bare() -> None:
        subprocess.run([sys.executable, "-s", "-S", "-P", "-B", "-c", program + check.code], check=True)

    figures = {}
    for name, act in (("bare interpreter", bare), ("sandbox", lambda: sandbox.run(program, check))):
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            act()
            seconds.append(time.perf_counter() - began)
        figures[name] = {"median_s": round(statistics.median(seconds), 4), "min_s": round(min(seconds), 4), "runs": runs}
    return {"self_test_s": round(tested, 3), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="programs timed for the overhead")
    parser.add_argument("--out", type=Path, default=HERE / "sandbox.json")
    arguments = parser.parse_args()
    world = load_world()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        by_measure = {name: attacked(world, without, folder) for name, without in LEFT_OUT.items()}
        result = {
            "code": code_version(),
            "environment": environment(),
            "by_measure": by_measure,
            "without_sandbox": controls(world, folder),
            "seconds_per_program": overhead(arguments.runs),
        }
    write_json(arguments.out, result)
    for name, figures in by_measure.items():
        print(f"{name}: {figures.get('refused') or str(figures['escaped']) + ' of ' + str(figures['programs']) + ' escaped'}")
    print(f"without a sandbox: {result['without_sandbox']['escaped']} of {result['without_sandbox']['programs']} do what they try")


if __name__ == "__main__":
    main()
