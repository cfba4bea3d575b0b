"""The proofs that take minutes (`pytest -m slow`): which ran, how each ended, and its seconds.

python benchmarks/slow_tests.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json

ROOT = Path(__file__).parents[1]


def outcome(case: ElementTree.Element) -> str:
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            return f"{kind}: {found.get('message', '')}"
    return "passed"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "junit.xml"
        call = [sys.executable, "-m", "pytest", "-m", "slow", "-n", "2", "--dist", "loadgroup", f"--junitxml={file}"]
        code = subprocess.run(call, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode
        cases = ElementTree.parse(file).getroot().findall(".//testcase")
    tests = {f"{case.get('classname')}::{case.get('name')}": [outcome(case), float(case.get("time", 0))] for case in cases}
    write_json(
        options.out,
        {
            "command": "python benchmarks/slow_tests.py",
            "code": code_version(),
            "environment": environment(),
            "exit_status": code,
            "passed": sum(result == "passed" for result, _ in tests.values()),
            "tests": {name: {"outcome": result, "seconds": seconds} for name, (result, seconds) in sorted(tests.items())},
        },
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
