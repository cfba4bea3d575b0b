import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_script_brings_no_package_of_a_program_into_the_processes_that_it_starts() -> None:
    code = (
        "import sys, runpy\n"
        f"runpy.run_path({str(BENCHMARKS / 'throughput.py')!r}, run_name='__mp_main__')\n"
        "heavy = {'torch', 'transformers', 'openvino', 'mlx', 'xllamacpp', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
