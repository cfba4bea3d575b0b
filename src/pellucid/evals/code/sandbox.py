"""Runs programs that nobody has read: no network, no files but their own, limited in all they use, judged from outside.

A program's process sees an empty machine (`namespaces`), may make only the system calls of pure computation (`seccomp`), is fenced
in by Landlock, has no rights and fixed limits. Where there are no namespaces, Landlock and seccomp hold alone (the fallback); where
the kernel cannot enforce both an isolation of files and one of the network, no program is run. Before the first program,
probes try to break out; what is in force and what they found is kept (`facts`), and every later program gets the same or none.
"""

import contextlib
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.evals.code import probes, scratch
from pellucid.evals.code.job import SETUP_S, Check, Limits, Measure, Mode, Outcome
from pellucid.evals.code.namespaces import NOBODY

__all__ = ["Sandbox", "readable_paths"]

_CHILD = Path(__file__).with_name("child.py")
_SHOWN_CHARS = 2000
_FOLDER_LOOK_S = 0.05
_AGAIN_AFTER_S = (0.2, 1.0)
_HAVE_TO_STAY = ("namespaces", "users", "landlock", "seccomp", "threads", "user", "no_new_privileges", "filter")
_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/nix/store")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8:replace"} | {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")
}


def readable_paths(packages: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return what a program may read (interpreter's library, shared libraries, packages), and the packages' folders for sys.path.

    Raises `UsageError` for a package that is not installed.
    """
    base = Path(sys.base_prefix).resolve() / "lib"
    stdlib = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    found, folders = [str(path) for path in (base, *stdlib) if path.is_dir()], []
    for name in packages:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"code.packages: {name} is not installed here; install it, or leave it out")
        place = Path(next(iter(spec.submodule_search_locations))).resolve()
        found += [str(path) for path in (place, place.with_name(f"{name}.libs")) if path.is_dir()]
        folders.append(str(place.parent))
    found += [path for path in _SYSTEM if Path(path).exists()]
    kept: list[str] = []
    for path in sorted(set(found)):
        if not any(path.startswith(f"{other}/") and not Path(other).is_symlink() for other in kept):
            kept.append(path)
    return kept, folders


@dataclass
class Sandbox:
    """Runs programs within `limits`. `packages` may be imported beside the standard library.

    `without` leaves measures out, to show that others hold by themselves; where too few are left, programs are refused.
    """

    limits: Limits = field(default_factory=Limits)
    packages: tuple[str, ...] = ()
    without: Collection[Measure] = ()
    python: str = ""
    """The interpreter, the one that runs Pellucid when empty."""
    measures: dict[str, Any] = field(default_factory=dict, init=False)
    self_test: dict[str, Any] = field(default_factory=dict, init=False)
    _mode: Mode = field(default="namespaces", init=False, repr=False)
    _no_namespaces: str = field(default="switched off", init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What is in force, what the probes found, and the limits: JSON values for a result."""
        shown = {name: value for name, value in self.measures.items() if name not in ("readable", "work")}
        return {"measures": shown, "self_test": self.self_test, "limits": asdict(self.limits), "packages": list(self.packages)}

    def test(self) -> None:
        """Try to break out, once. Raises `UsageError` where the machine offers too little or a probe got through."""
        with self._lock:
            if self.self_test:
                return
            if sys.platform != "linux":
                raise UsageError(
                    f"programs of a model run only in a sandbox that the kernel enforces, which needs Linux; this is "
                    f"{sys.platform}: evaluate code in a Linux virtual machine or container"
                )
            found = self._first_mode_that_works()
            if found["refused"]:
                raise UsageError(
                    f"programs of a model are not run: {found['refused']}\nThe sandbox needs Linux 5.12 with user namespaces, or "
                    "Linux 6.2 with Landlock and seccomp on x86_64 or aarch64; in a container, allow one of them"
                )
            if found["escapes"]:
                raise UsageError(f"programs of a model are not run: in a test of the sandbox, {'; '.join(found['escapes'])}")
            self.self_test = found

    def run(self, program: str, check: Check) -> Outcome:
        """Run one program and judge it, after the sandbox has been tested. May be called by several threads at once."""
        self.test()
        for wait_s in _AGAIN_AFTER_S:
            outcome = self._run(program, check)
            if outcome.status != "refused":
                return outcome
            time.sleep(wait_s)  # the kernel's limits on namespaces and processes are shared with others
        return self._run(program, check)

    def _first_mode_that_works(self) -> dict[str, Any]:
        """Return what the probes found in namespaces or, where there are none, in the fallback."""
        if "namespaces" not in self.without:
            found = probes.try_everything(self._run, lambda: bool(self.measures["seccomp"]))
            if not found["refused"]:
                return found
            self._no_namespaces, self.measures = found["refused"], {}
        self._mode = "fallback"
        return probes.try_everything(self._run, lambda: bool(self.measures["seccomp"]))

    def _run(self, program: str, check: Check) -> Outcome:
        readable, package_paths = readable_paths(self.packages)
        with scratch.scratch_folder() as folder:
            job = {
                "program": program,
                "limits": asdict(self.limits),
                "without": list(self.without),
                "mode": self._mode,
                "no_namespaces": self._no_namespaces,
                "readable": readable,
                "package_paths": package_paths,
                "nobody": self._may_be_nobody(readable, folder),
            }
            with _Child(self.python or sys.executable, folder, self.limits) as child:
                outcome = child.converse(_frame(job), _frame(asdict(check)), self.measures)
        if child.measures and not self.measures:
            self.measures = child.measures
        return outcome

    def _may_be_nobody(self, readable: Sequence[str], folder: Path) -> bool:
        """Tell whether the program of a root user can be another user's; where that needs the folder to be his, it is made so."""
        if os.geteuid() != 0 or "nobody" in self.without or not all(Path(path).stat().st_mode & 0o004 for path in readable):
            return False
        if self._mode == "namespaces":
            return True
        return all(scratch.may_be_passed(path) for path in (*readable, str(folder))) and scratch.give_to(folder, NOBODY)


def _frame(message: Any) -> bytes:
    data = json.dumps(message).encode()
    return struct.pack(">I", len(data)) + data


class _Child:
    """The sandboxed processes of one program, and the conversation with the one that judges."""

    def __init__(self, python: str, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._report, writing = os.pipe()
        command = [python, "-s", "-S", "-P", "-B", str(_CHILD), str(folder), str(writing), str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        os.close(writing)
        self._program: int | None = None
        self._received = b""
        self._printed, self._printed_bytes = b"", 0
        self.measures: dict[str, Any] = {}

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        os.close(self._report)
        if self._program is not None:
            os.close(self._program)

    def converse(self, job: bytes, check: bytes, tested: Mapping[str, Any]) -> Outcome:
        """Hand over the job, then, when the program's process is locked in as `tested`, the check; return what came of it."""
        self._write(job)
        began = time.monotonic()
        ready = self._wait_for_message(began + SETUP_S)
        if not isinstance(ready, dict) or "ready" not in ready:
            self._end()
            reason = ready.get("refused") if isinstance(ready, dict) else f"the sandbox did not start ({self._text()[-300:]})"
            return Outcome("refused", str(reason))
        self.measures = ready["ready"]
        changed = [name for name in _HAVE_TO_STAY if tested and self.measures.get(name) != tested.get(name)]
        if changed:
            self._end()
            return Outcome("refused", f"not in force as in the sandbox's test: {', '.join(changed)}")
        with contextlib.suppress(ProcessLookupError):
            self._program = os.pidfd_open(ready["program"])
        began = time.monotonic()
        self._write(check)
        verdict = self._wait_for_message(began + self._limits.wall_s)
        wall_s = time.monotonic() - began
        self._end()
        if isinstance(verdict, str):
            status, _, excerpt = verdict.partition(": ")
            verdict = {"status": status, "excerpt": excerpt}
        return Outcome(output=self._text(), printed_bytes=self._printed_bytes, wall_s=wall_s, **verdict)

    def _text(self) -> str:
        return self._printed.decode(errors="replace")[:_SHOWN_CHARS]

    def _write(self, data: bytes) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def _wait_for_message(self, deadline: float) -> Any:
        """Return the judge's next message, or a status with its reason."""
        fenced_only = bool(self.measures) and not self.measures["namespaces"]
        with selectors.DefaultSelector() as ready:
            ready.register(self._report, selectors.EVENT_READ)
            if self._process.stdout is not None and not self._process.stdout.closed:
                ready.register(self._process.stdout, selectors.EVENT_READ)
            while (message := self._message()) is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return f"timeout: {self._limits.wall_s:g} s"
                if fenced_only and scratch.is_full(self._folder, self._limits):
                    return f"failed: the program wrote more than {self._limits.folder_bytes} bytes or {self._limits.files} files"
                for key, _ in ready.select(min(left, _FOLDER_LOOK_S) if fenced_only else left):
                    data = os.read(key.fd, 1 << 16)
                    if key.fd != self._report:
                        if not data:
                            ready.unregister(key.fileobj)
                        elif not self._keep(data):
                            return f"failed: the program printed more than {self._limits.output_bytes} bytes"
                    elif data:
                        self._received += data
                    else:
                        return "killed: the check's process ended"
        return message

    def _message(self) -> Any:
        if len(self._received) < 4:
            return None
        (length,) = struct.unpack(">I", self._received[:4])
        if len(self._received) < 4 + length:
            return None
        message, self._received = self._received[4 : 4 + length], self._received[4 + length :]
        return json.loads(message)

    def _keep(self, data: bytes) -> bool:
        """Keep the beginning of the output; tell whether it is still within the limit."""
        self._printed_bytes += len(data)
        self._printed += data[: max(0, 4 * _SHOWN_CHARS - len(self._printed))]
        return self._printed_bytes <= self._limits.output_bytes

    def _end(self) -> None:
        """Kill all processes and wait until none of them is left."""
        if self._process.poll() is not None and self._process.stdout is not None and self._process.stdout.closed:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._program is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._program, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            # Whoever is left would hold the pipe open. Once it is closed by all, none is.
            while data := os.read(self._process.stdout.fileno(), 1 << 16):
                self._keep(data)
            self._process.stdout.close()
