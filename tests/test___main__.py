import subprocess
import sys

from pellucid import __version__


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "pellucid", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"pellucid {__version__}"
