"""The test of a sandbox before its first program: an honest program passes, a wrong one does not, and none gets out."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.evals.code.job import Check, Outcome

__all__ = ["try_everything"]

Run = Callable[[str, Check], Outcome]

_CHECK = Check("assert probe() == 41", ("probe",))
_HONEST = "def probe():\n    return 41\n"
_WRONG = {
    "a wrong answer passed": "def probe():\n    return 40\n",
    "a program that ended before its check passed": "import os\nos._exit(0)\n",
    "an object that equals everything passed": (
        "class Any:\n    def __eq__(self, other):\n        return True\n\ndef probe():\n    return Any()\n"
    ),
}
# Each attempt prints a word that the program does not hold, or leaves a trace that is looked for outside.
_READ = "print(open({path!r}).read())\n"
_WRITE = "open({path!r}, 'a').write('changed')\n"
_NEW_FILE = "open({path!r} + '.new', 'w').write('new')\n"
_CONNECT = "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\n"
_ENVIRONMENT = "import os\nprint(dict(os.environ))\n"
_PROCESS = "import os\nprint('st' + 'arted') if os.fork() == 0 else os.wait()\n"
_EXECUTE = "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo st''arted'])\n"
_SIGNAL = "import os\nos.kill({pid}, 0)\nprint('si' + 'gnalled')\n"


def try_everything(run: Run, is_filtered: Callable[[], bool]) -> dict[str, Any]:
    """Return `refused` (why no program can be run, or empty), `escapes` (what got through) and how many `probes` were made.

    `is_filtered` tells after the first program whether system calls are filtered. Where they are not, processes may be
    started; they are counted, and end with the program.
    """
    honest = run(_HONEST, _CHECK)
    if honest.status == "refused":
        return {"refused": honest.excerpt, "escapes": [], "probes": 1}
    if not honest.passed:
        return {"refused": f"a program that is right came to: {honest.status}, {honest.excerpt}", "escapes": [], "probes": 1}
    escapes = [what for what, program in _WRONG.items() if run(program, _CHECK).passed]
    with tempfile.TemporaryDirectory(prefix="pellucid-probe-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret = Path(folder, "secret")
        secret.write_text("SECRET")
        port = server.getsockname()[1]
        os.environ["PELLUCID_SANDBOX_PROBE"] = "SECRET"
        try:
            shown = {
                "a file was read": ("SECRET", _READ.format(path=str(secret))),
                "an environment variable was read": ("SECRET", _ENVIRONMENT),
                "a process was started": ("started", _PROCESS),
                "a shell was started": ("started", _EXECUTE),
                "another process was signalled": ("signalled", _SIGNAL.format(pid=os.getpid())),
                "a file was changed": ("none", _WRITE.format(path=str(secret))),
                "a file was made": ("none", _NEW_FILE.format(path=str(secret))),
                "a connection was made": ("none", _CONNECT.format(port=port)),
            }
            if not is_filtered():
                shown = {what: probe for what, probe in shown.items() if not what.endswith("was started")}
            escapes += [what for what, (word, program) in shown.items() if word in run(program, _CHECK).output]
        finally:
            del os.environ["PELLUCID_SANDBOX_PROBE"]
        if secret.read_text() != "SECRET":
            escapes.append("a file was changed")
        if len(list(Path(folder).iterdir())) != 1:
            escapes.append("a file was made")
        server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            server.accept()[0].close()
            escapes.append("a connection was made")
    return {"refused": "", "escapes": escapes, "probes": 1 + len(_WRONG) + len(shown)}
