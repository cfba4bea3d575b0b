import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.evals.code.sandbox import readable_paths

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode != 0,
    reason="no user namespaces here",
)

LINES = """
import json, os, socket
from pellucid.evals.code import namespaces
namespaces.enter(namespaces.View(sys.argv[1], json.loads(sys.argv[2]), 1 << 20, 10, nobody=True))
try:
    open("big", "wb").write(bytes(2 << 20))
except OSError as error:
    print("full:", error.strerror)
os.remove("big")
made = 0
try:
    for made in range(100):
        open(f"file{made}", "w")
except OSError:
    pass
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, str(os.getpid()).encode())
    os._exit(0)
os.wait()
print(json.dumps({"root": sorted(os.listdir("/")), "dev": sorted(os.listdir("/dev")), "cwd": os.getcwd(), "made": made,
    "user": os.getuid(),
    "child": os.read(reading, 9).decode(), "host": socket.gethostname(), "nets": [name for _, name in socket.if_nameindex()],
    "outside": os.path.exists(sys.argv[1]), "read only": not os.access("/", os.W_OK)}))
"""


def test_inside_there_is_a_library_three_devices_an_empty_folder_with_limits_and_nothing_else(
    tmp_path: Path, alone: Callable[..., str]
) -> None:
    import json

    readable, _ = readable_paths()
    full, shown = alone(LINES, str(tmp_path), json.dumps(readable)).splitlines()
    assert full == "full: No space left on device"
    seen = json.loads(shown)
    tops = {"/" + path.split("/")[1] for path in readable} | {"/dev", "/sandbox"}
    assert {"/" + name for name in seen["root"]} == tops
    assert seen["dev"] == ["null", "urandom", "zero"]
    assert seen["cwd"] == "/sandbox"
    assert seen["made"] < 15
    assert seen["user"] == (65534 if os.geteuid() == 0 else os.geteuid())
    assert seen["child"] == "1"
    assert seen["host"] == "sandbox"
    assert set(seen["nets"]) <= {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}
    assert not seen["outside"]
    assert seen["read only"]
    assert list(tmp_path.iterdir()) == [], "what was written went with the namespace"
