import subprocess
import sys

import pytest

pytest.importorskip("nncf")

LOADED = "import sys, openvino, nncf; print(any(name.startswith('openvino_telemetry.') for name in sys.modules))"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "loaded"), [("", "True"), ("from pellucid.export.no_telemetry import *; quiet(); ", "False")])
def test_what_would_send_is_never_loaded(before: str, loaded: str) -> None:
    code = before.replace("quiet", "without_openvino_telemetry") + LOADED
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == loaded


def test_it_comes_before_the_first_import_of_either() -> None:
    code = (
        "from pathlib import Path; import sys, tempfile\n"
        "from pellucid.export.runtimes.openvino import OpenVinoRuntime\n"
        "try: OpenVinoRuntime(Path(tempfile.gettempdir()) / 'none')\n"
        "except Exception: pass\n"
        "print('openvino' in sys.modules, sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["True", "None"]
