"""Our estimate of a processor's energy beside codecarbon's, for the same process, time and watts, without a network.

    python -m venv /tmp/cc && /tmp/cc/bin/pip install codecarbon
    python benchmarks/energy_estimate.py --python /tmp/cc/bin/python

codecarbon brings a dozen packages that this project does not need, so it lives in an environment of its own.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from pellucid.core.attempts import Attempt
from pellucid.core.environment import code_version, environment
from pellucid.core.files import write_json
from pellucid.core.joules import Power
from pellucid.core.spending import Rates, spending_of

OUT = Path(__file__).with_suffix(".json")
WATTS, CORES, PUE = 20, 2, 1.1
TRACKED = """
import json, sys, time
from codecarbon import OfflineEmissionsTracker
seconds, share, watts, pue = map(float, sys.argv[1:])
tracker = OfflineEmissionsTracker(
    country_iso_code="USA", force_cpu_power=watts, force_ram_power=0.001, pue=pue, save_to_file=False, log_level="error",
    measure_power_secs=2, tracking_mode="process", allow_multiple_runs=True,
)
tracker.start()
began, cpu = time.monotonic(), time.process_time()
while time.monotonic() - began < seconds:
    busy = time.process_time()
    while time.process_time() - busy < 0.1 * share and time.monotonic() - began < seconds:
        pass
    time.sleep(0.1 * (1 - share))
seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
tracker.stop()
found = tracker.final_emissions_data.values
names = ("duration", "cpu_energy", "energy_consumed", "emissions")
print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, **{name: found[name] for name in names}}))
"""


def compared(python: str, seconds: float, share: float) -> dict[str, float]:
    """Return both estimates in kWh with PUE, of a process that wants this share of a core."""
    call = [python, "-c", TRACKED, *map(str, (seconds, share, WATTS, PUE))]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(call, capture_output=True, text=True, check=True, env=alone)
    theirs = json.loads(answer.stdout.splitlines()[-1])
    joules = Power(WATTS, 1, CORES).joules(theirs["seconds"], theirs["cpu_s"])
    one = Attempt("burn", 1, 1, "", seconds=theirs["seconds"], joules=joules)
    ours = spending_of([one], Rates(0.0, PUE)).total
    return {
        "seconds": theirs["seconds"],
        "cpu_s": theirs["cpu_s"],
        "ours_kwh": ours.kwh_with_pue,
        "codecarbon_kwh": theirs["cpu_energy"],
        "codecarbon_over_ours": theirs["cpu_energy"] / ours.kwh_with_pue,
        "ours_kg_co2e_per_kwh": ours.kg_co2e / ours.kwh_with_pue,
        "codecarbon_kg_co2e_per_kwh": theirs["emissions"] / theirs["energy_consumed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="an interpreter with codecarbon")
    parser.add_argument("--seconds", type=float, default=40)
    arguments = parser.parse_args()
    rows = [compared(arguments.python, arguments.seconds, share) for share in (0.2, 0.9)]
    version = "import importlib.metadata as m; print(m.version('codecarbon'))"
    told = subprocess.run([arguments.python, "-c", version], capture_output=True, text=True, check=True).stdout.strip()
    for row in rows:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    write_json(OUT, {"codecarbon": told, "rows": rows, "environment": environment(), "code_version": code_version()})


if __name__ == "__main__":
    main()
