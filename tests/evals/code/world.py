"""What hostile programs are after, laid out so that every success is seen: files, servers, processes, memory, verdicts.

A `World` is made for one program. `escapes` looks at all of it, whatever the program was to try, and names what it finds.
"""

import contextlib
import ctypes
import json as json_module
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pellucid
from pellucid.evals.code.job import Check, Limits, Outcome

HOSTILE = Path(__file__).with_name("hostile")
LIMITS = Limits(cpu_s=1, wall_s=2.0, memory_bytes=256 << 20)
_VICTIM = """
import os, signal, sys, time
def note(number, frame):
    open(sys.argv[1], "a").write(f"{number} ")
for number in (signal.SIGURG, signal.SIGUSR1, signal.SIGTERM, signal.SIGIO):
    signal.signal(number, note)
print("ready", flush=True)
while os.getppid() == int(sys.argv[2]):
    time.sleep(0.2)
"""


@dataclass(frozen=True)
class Hostile:
    """One program. `control`: without the sandbox it does what it tries. `forges`: a judge that only looks at the exit status
    passes it.
    """

    name: str
    source: str

    @property
    def about(self) -> str:
        return self.source.partition('"""')[2].partition('"""')[0]

    @property
    def flag(self) -> str:
        return self.source.splitlines()[1].removeprefix("# ")


def hostile_programs() -> list[Hostile]:
    return [Hostile(path.stem, path.read_text()) for path in sorted(HOSTILE.glob("*.py"))]


@dataclass
class World:
    folder: Path
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.secret = f"SECRET-{self.nonce}"
        self.expected = secrets.randbits(62) | 1 << 61
        self.reached: list[str] = []
        self._stopping = threading.Event()
        self.base = self.folder / f"world-{self.nonce}"
        self.home, self.cwd, self.canary = self.base / "home", self.base / "cwd", self.base / "canary"
        for folder in (self.home, self.cwd, self.canary, self.base / "tmp"):
            folder.mkdir(parents=True)
            (folder / "secret.txt").write_text(self.secret)
        (self.base / "tmp/secret.txt").unlink()
        self.file = self.canary / "file.txt"
        self.file.write_text("untouched")
        self.library = [Path(os.__file__), Path(json_module.__file__), Path(pellucid.__file__)]
        self.shm_key = secrets.randbits(30)

    def target(self) -> dict[str, Any]:
        return {
            "secret_file": str(self.home / "secret.txt"),
            "home": str(self.home),
            "cwd": str(self.cwd),
            "canary_folder": str(self.canary),
            "canary_file": str(self.file),
            "package": pellucid.__file__,
            "nonce": self.nonce,
            "nothing": -1,
            "shm_key": self.shm_key,
            "tcp_port": self.tcp.getsockname()[1],
            "udp_port": self.udp.getsockname()[1],
            "abstract": f"pellucid-{self.nonce}",
            "unix_path": self.unix_path,
            "free_port": self.free_port,
            "victim": self.victim.pid,
            "parent": os.getpid(),
        }

    @contextlib.contextmanager
    def standing(self) -> Iterator["World"]:
        """Servers listen, the victim lives, HOME and folders are set, a descriptor lies open; afterwards all is gone again."""
        before = {name: os.environ.get(name) for name in ("HOME", "PELLUCID_SECRET")}
        cwd, temporary = Path.cwd(), tempfile.tempdir
        with contextlib.ExitStack() as stack:
            self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.udp.bind(("127.0.0.1", 0))
            self.abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
            self.abstract.bind(f"\0pellucid-{self.nonce}")
            self.unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            self.unix_path = f"/tmp/p{self.nonce}"  # such paths must be short
            self.unix.bind(self.unix_path)
            stack.callback(os.unlink, self.unix_path)
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.free_port = free.getsockname()[1]
            for server in (self.abstract, self.unix):
                server.listen()
            os.environ.update(HOME=str(self.home), PELLUCID_SECRET=self.secret)
            self.inherited = os.open(self.home / "secret.txt", os.O_RDONLY)
            os.set_inheritable(self.inherited, True)
            stack.callback(os.close, self.inherited)
            os.chdir(self.cwd)
            tempfile.tempdir = str(self.base / "tmp")
            if os.geteuid() == 0:
                self.base.chmod(0o755)
            command = [sys.executable, "-S", "-c", _VICTIM, str(self.base / "signals"), str(os.getpid())]
            self.victim = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
            stack.callback(self._bury)
            assert self.victim.stdout is not None
            assert self.victim.stdout.readline() == b"ready\n"
            visitor = threading.Thread(target=self._visit)
            visitor.start()
            self.before = self._seen()
            try:
                yield self
            finally:
                self._stopping.set()
                visitor.join()
                os.chdir(cwd)
                tempfile.tempdir = temporary
                for name, value in before.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value
                for path in [*Path("/dev/shm").glob("pellucid-hostile-*"), *Path("/tmp").glob("pellucid-hostile-*")]:
                    if self.nonce in path.name:
                        path.unlink()

    def _bury(self) -> None:
        self.victim.kill()
        self.victim.wait()
        if self.victim.stdout is not None:
            self.victim.stdout.close()
        libc = ctypes.CDLL(None)
        if (memory := libc.shmget(self.shm_key, 0, 0)) >= 0:
            libc.shmctl(memory, 0, None)
        for pid in self.survivors():
            os.kill(pid, signal.SIGKILL)
        for folder in (self.base, *self.base.rglob("*")):
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o700)
        shutil.rmtree(self.base)

    def _visit(self) -> None:
        """Try to reach the port on which a program may listen."""
        while not self._stopping.wait(0.05):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.free_port), 0.05).close()
                self.reached.append("a port of the program's was open to this machine")

    def _seen(self) -> dict[str, Any]:
        """Return everything about files that must not change."""
        watched = [self.home, self.cwd, self.canary, *self.library]
        inside = [path for folder in (self.home, self.cwd, self.canary) if folder.is_dir() for path in sorted(folder.rglob("*"))]
        seen: dict[str, Any] = {}
        for path in watched + inside:
            if not path.exists():
                seen[str(path)] = "gone"
                continue
            facts = path.lstat()
            text = path.read_text() if path.is_file() and path not in self.library else ""
            owner = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_size)
            times = (int(facts.st_mtime),) if path.is_file() else ()
            seen[str(path)] = (owner, times, text, tuple(os.listxattr(path)))
        return seen

    def check(self) -> Check:
        return Check(f"expected = {self.expected}\nassert answer() == expected\n", ("answer",))

    def program(self, hostile: Hostile) -> str:
        return f"TARGET = {self.target()!r}\n{hostile.source}"

    def survivors(self) -> list[int]:
        """Return the processes that were started for a program and still run: they carry the world's folder in their command."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.nonce.encode() in path.read_bytes() and int(path.parent.name) not in (self.victim.pid, os.getpid()):
                    found.append(int(path.parent.name))
        return found

    def run_without_sandbox(self, hostile: Hostile) -> Outcome:
        """Run a program as any script, with the check at its end; what exits with 0 has passed."""
        script = self.base / "tmp/script.py"
        script.write_text(f"{self.program(hostile)}\n{self.check().code}")
        command = [sys.executable, str(script)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False, start_new_session=True
        ) as started:
            try:
                output, _ = started.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                output, _ = started.communicate()
        script.unlink()
        return Outcome("passed" if started.returncode == 0 else "failed", output=output.decode(errors="replace"))

    def escapes(self, outcome: Outcome, *, filtered: bool = True) -> list[str]:
        """Return what a program achieved that it must not. `filtered`: system calls were filtered too."""
        time.sleep(0.1)
        found = [*dict.fromkeys(self.reached)]
        seen = {
            "the secret was printed": self.secret in outcome.output,
            "users of the machine were printed": "root:" in outcome.output and "/bin/" in outcome.output,
            "the tests were seen": str(self.expected) in outcome.output,
            "it says that it escaped": f"ESCAPED{self.nonce}" in outcome.output,
            "a system call went through the filter": filtered and f"FORBIDDEN{self.nonce}" in outcome.output,
            "it passed": outcome.passed,
            "files were changed": self._seen() != self.before,
            "the victim is dead": self.victim.poll() is not None,
            "the victim was signalled": (self.base / "signals").exists(),
            "shared memory was left": bool([path for path in Path("/dev/shm").iterdir() if self.nonce in path.name])
            or ctypes.CDLL(None).shmget(self.shm_key, 0, 0) >= 0,
            "files were left": any(
                list(Path(folder).glob(f"*{self.nonce}*")) != [] for folder in ("/var/tmp", "/run", "/", "/etc", "/usr/lib")
            )
            or bool(list(Path("/tmp").glob(f"pellucid-hostile-{self.nonce}*"))),
            "a folder of the sandbox was left": bool(list((self.base / "tmp").iterdir())),
            "a process is left": bool(self.survivors()),
            "it took longer than it may": outcome.wall_s > LIMITS.wall_s + 2,
            "it took more memory than it may": outcome.peak_bytes > LIMITS.memory_bytes + (32 << 20),
            "its output was kept whole": len(outcome.output) > 2000 and outcome.wall_s > 0,
        }
        for name, server in (("TCP", self.tcp), ("abstract", self.abstract), ("path", self.unix)):
            server.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                seen[f"the {name} server was reached"] = True
        self.udp.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            seen["a datagram arrived"] = bool(self.udp.recv(100))
        return found + [what for what, is_so in seen.items() if is_so]
