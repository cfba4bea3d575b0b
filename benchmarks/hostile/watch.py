"""One process that opens files for others and tells what that did: started once, it forks for every opening.

Jobs come as JSON lines on standard input: `opener` (a name in `openers.OPENERS`), `path`, `scratch` (where it may write), `canary`
(a path that only a payload makes) and `limits`. Answers go to standard output, a line each. The fork has a hook on Python's own
audit events (PEP 578) and limits of memory and time; so a crash or a bomb takes the fork and nothing else.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,),
    "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,), "shutil.rmtree": (0,), "shutil.move": (1,), "shutil.copyfile": (1,),
}  # fmt: skip
_RUNNING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn", "os.fork", "os.forkpty")
# What the standard library, torch and their peers ask of the machine itself.
_HARMLESS_PROGRAMS = ("git", "lscpu", "ldconfig", "uname", "gcc", "ld", "sysctl", "nvidia-smi")
_HARMLESS_FILES = ("/dev/", "/proc/self/")
_FILES_IN_MEMORY = "/dev/shm/"
LEDGER = "ledger.jsonl"


class Watch:
    """The audit hook. `events` are what should not have happened, a line each."""

    def __init__(self, hostile: Path, scratch: Path) -> None:
        self.events: list[str] = []
        self._hostile, self._scratch = os.path.realpath(hostile), os.path.realpath(scratch)
        self._busy = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            found = self._judge(event, arguments)
            if found is not None and len(self.events) < 20:
                self.events.append(f"{event}: {found}")
        finally:
            self._busy = False

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITING)
            return self._outside(path) if writes else None
        if event in _CHANGING:
            return next((found for place in _CHANGING[event] if (found := self._outside(arguments[place]))), None)
        if event == "exec":
            return self._inside(getattr(arguments[0], "co_filename", ""))
        if event in ("import", "ctypes.dlopen"):
            return self._inside(arguments[1] if event == "import" else arguments[0])
        if event == "pickle.find_class":
            return f"{arguments[0]}.{arguments[1]}"
        if event in _RUNNING:
            words = arguments[1] if event == "subprocess.Popen" else arguments[0] if arguments else ""
            first = words[0] if isinstance(words, list | tuple) and words else words
            return None if Path(os.fsdecode(first or b"")).name in _HARMLESS_PROGRAMS else repr(words)[:200]
        if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
            return repr(arguments[1])
        return None

    def _outside(self, path: Any) -> str | None:
        """A path that is written to, unless it may be."""
        if isinstance(path, int):
            return None
        place = os.path.realpath(os.fsdecode(path))
        is_told = place == f"{self._hostile}/{LEDGER}"  # whoever works on a run writes that into its own ledger
        is_harmless = place.startswith(_HARMLESS_FILES) and not place.startswith(_FILES_IN_MEMORY)
        return None if is_told or is_harmless or f"{place}/".startswith(f"{self._scratch}/") else place

    def _inside(self, path: Any) -> str | None:
        """Code that came from the file or from what was copied of it."""
        if not isinstance(path, str | bytes) or not Path(os.fsdecode(path)).is_absolute():
            return None  # "<string>", by which the standard library makes its own classes
        place = os.path.realpath(os.fsdecode(path))
        return place if f"{place}/".startswith((f"{self._hostile}/", f"{self._scratch}/")) else None


def status_kib(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0


def open_watched(job: dict[str, Any], opener: Callable[[Path], str]) -> dict[str, Any]:
    """Open one path under the hook; return how it ended. Runs in the fork."""
    from pellucid.core.errors import PellucidError

    scratch, path, limits = Path(job["scratch"]), Path(job["path"]), job["limits"]
    os.chdir(scratch)
    os.environ.update(TMPDIR=str(scratch), HF_HOME=str(scratch), HF_MODULES_CACHE=str(scratch / "modules"), HOME=str(scratch))
    import tempfile

    tempfile.tempdir = str(scratch)
    room = (status_kib("VmSize") << 10) + limits["address_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before, began = status_kib("VmRSS"), time.monotonic()
    watch = Watch(path if path.is_dir() else path.parent, scratch)
    sys.addaudithook(watch)
    try:
        ended, said = "opened", opener(path)
    except PellucidError as error:
        ended, said = "refused", str(error)
    except BaseException as error:  # a payload or a panic may raise anything
        ended, said = "failed", "".join(traceback.format_exception(error))[-3000:]
    seconds, grown = time.monotonic() - began, (status_kib("VmHWM") - before) << 10
    return {"ended": ended, "said": said, "events": watch.events, "seconds": round(seconds, 3), "grown_bytes": grown}


def in_fork(job: dict[str, Any], opener: Callable[[Path], str]) -> dict[str, Any]:
    """Fork, open, and return what the fork tells; of a fork that died or took too long, that."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        log = os.open(Path(job["scratch"]) / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        answer = open_watched(job, opener)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    until, answer = time.monotonic() + job["limits"]["wall_s"], b""
    with os.fdopen(reading, "rb", 0) as pipe:
        while (left := until - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
            part = pipe.read(1 << 16)
            if not part:
                break
            answer += part
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if answer:
        return json.loads(answer)
    ended = "took too long" if status == signal.SIGKILL else f"died, status {status}"
    said = (Path(job["scratch"]) / "output.txt").read_text(errors="replace")[-2000:]
    return {"ended": ended, "said": said, "events": [], "seconds": job["limits"]["wall_s"], "grown_bytes": 0}


def main() -> None:
    sys.dont_write_bytecode = True
    # With frames, a panic maps the debug symbols of everything that is loaded: more address space than a case has.
    os.environ["RUST_BACKTRACE"] = "0"
    from hostile.openers import OPENERS, prepare

    prepare()
    answers = os.fdopen(os.dup(1), "w")
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        job = json.loads(line)
        Path(job["scratch"]).mkdir(parents=True, exist_ok=True)
        answer = in_fork(job, OPENERS[job["opener"]]) | {"canary": os.path.lexists(job["canary"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
