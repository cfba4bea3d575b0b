"""The sandboxed side, run as a script: locks itself in, forks the program, and checks it from a second process.

    python -s -S -P -B child.py SCRATCH REPORT_FD PARENT       (job and check arrive on stdin)

Three processes take part. Pellucid's own reads the verdict. The *check's* process holds the tests and writes the verdict; it runs
no word of the program. The *program's* process runs the program; it holds neither tests nor the verdict's pipe, cannot signal,
trace or read the check's process, and all that comes from it are plain values. Both are locked in before the program is even
compiled. Only the standard library is used here.
"""

import ast
import builtins
import importlib
import os
import platform
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pellucid.evals.code import kernel, landlock, namespaces, seccomp
from pellucid.evals.code.job import CHECK_MEMORY_BYTES, SETUP_S, Check, Limits
from pellucid.evals.code.remote import Caller, describe, serve
from pellucid.evals.code.values import Closed, TooLarge, Wire

__all__ = ["check_namespace", "judge", "lock_in"]

_PR_SET_DEATH_SIGNAL, _PR_SET_DUMPABLE, _PR_GET_SECCOMP, _PR_GET_NO_NEW_PRIVS = 1, 4, 21, 39
_CHECK = "<check>"
_GRACE_S = 10  # beyond the limit that Pellucid's own process keeps: only for when that is stopped or gone


class Refused(Exception):  # noqa: N818 - what it is called in the outcome
    """The kernel does not offer what would be enough."""


def main() -> None:
    """Set up the sandbox, fork, and report."""
    scratch, report_fd, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _die_with(parent)
    signal.alarm(SETUP_S + _GRACE_S)
    orders = Wire(0, -1, 1 << 30)
    report = Wire(-1, report_fd, 1 << 30)
    job = orders.receive()
    limits = Limits(**job["limits"])
    to_program, from_program = os.pipe(), os.pipe()
    try:
        measures = _hide(job, scratch, limits)
        _die_with(parent)  # again: a change of user makes the kernel forget it
        child = os.fork()
        if child == 0:
            _be_the_program(job, limits, measures, (to_program[0], from_program[1]))
        os.close(to_program[0])
        os.close(from_program[1])
        wire = Wire(from_program[0], to_program[1], limits.answer_bytes)
        measures = wire.receive()
        if "refused" in measures:
            raise Refused(measures["refused"])
        _quieten()
        lock_in(measures, limits, (os.getpid(), child), threads=False, memory_bytes=CHECK_MEMORY_BYTES)
    except (OSError, Refused, Closed) as error:
        report.send({"refused": f"{type(error).__name__}: {error}"})
        return
    report.send({"ready": measures, "program": child})
    check = orders.receive()
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s + _GRACE_S)
    verdict = judge(Check(**check), Caller(wire))
    report.send(_with_usage(verdict, child, limits))


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent, Pellucid, ends in any way; end now if it has already."""
    kernel.prctl(_PR_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _hide(job: dict[str, Any], scratch: str, limits: Limits) -> dict[str, Any]:
    """Enter namespaces if that is the mode of this sandbox; return what is known of the measures so far."""
    without = set(job["without"])
    machine = platform.machine()
    measures: dict[str, Any] = {
        "namespaces": False,
        "users": False,
        "landlock": 0 if "landlock" in without else landlock.version(),
        "seccomp": "seccomp" not in without and seccomp.is_supported(machine),
        "work": scratch,
        "readable": job["readable"],
    }
    if job["mode"] == "namespaces":
        # Where this fails halfway, nothing can be built on it: the fallback is for a process of its own.
        view = namespaces.View(scratch, job["readable"], limits.folder_bytes, limits.files, job["nobody"])
        measures.update(users=namespaces.enter(view), namespaces=True, work=namespaces.WORK)
    else:
        measures["no_namespaces"] = job["no_namespaces"]
        if not (measures["seccomp"] and measures["landlock"] >= 3):
            raise Refused(
                f"no namespaces ({job['no_namespaces']}), and in their place seccomp and Landlock from "
                f"version 3 are needed; there are seccomp: {measures['seccomp']}, Landlock: version {measures['landlock']}"
            )
        os.chdir(scratch)
        if job["nobody"]:
            os.setgroups([])
            os.setresgid(*[namespaces.NOBODY] * 3)
            os.setresuid(*[namespaces.NOBODY] * 3)
    measures["threads"] = limits.threads if measures["users"] and _processes_are_counted() else 0
    if not measures["seccomp"] and not measures["threads"]:
        raise Refused("neither seccomp nor a limit that the kernel keeps would stop a program from starting processes")
    kernel.prctl(_PR_SET_DUMPABLE, 0)
    return measures


def _processes_are_counted() -> bool:
    """Tell whether RLIMIT_NPROC limits this user namespace.

    Since Linux 5.14 it counts the namespace's own processes, elsewhere all of the user's would count; root is exempt from it.
    """
    release = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    return release >= (5, 14) and os.geteuid() != 0


def lock_in(measures: dict[str, Any], limits: Limits, pids: tuple[int, ...], *, threads: bool, memory_bytes: int) -> None:
    """Take limits, give up rights, and put up Landlock and the filter of system calls, for this process and for good."""
    for kind, value in {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
        **({resource.RLIMIT_NPROC: limits.threads + 2} if measures["threads"] else {}),
    }.items():
        resource.setrlimit(kind, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s))  # the hard one: process 1 takes no notice of SIGXCPU
    kernel.no_new_privileges()
    if measures["landlock"]:
        rules = dict.fromkeys(measures["readable"], landlock.READ)
        rules.update({"/dev/null": landlock.READ | landlock.WRITE, "/dev/zero": landlock.READ, "/dev/urandom": landlock.READ})
        writing = landlock.WRITE if measures["namespaces"] else landlock.ADD
        landlock.restrict({**rules, measures["work"]: landlock.READ | writing}, alone=len(pids) == 1)
    kernel.drop_capabilities()
    if measures["seccomp"]:
        rules_of_calls = seccomp.build_filter(platform.machine(), pids, threads=threads, metadata=measures["namespaces"])
        seccomp.install(rules_of_calls)


def _be_the_program(job: dict[str, Any], limits: Limits, measures: dict[str, Any], pipes: tuple[int, int]) -> NoReturn:
    """Keep only the two pipes and the output, lock in, say what is in force, and serve; never return."""
    try:
        kernel.prctl(_PR_SET_DEATH_SIGNAL, signal.SIGKILL)
        kept = [os.dup2(os.dup(pipe), 200 + at) for at, pipe in enumerate(pipes)]  # beyond all others, so that none is overwritten
        incoming, outgoing = (os.dup2(pipe, 3 + at) for at, pipe in enumerate(kept))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(5, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        wire = Wire(incoming, outgoing, limits.answer_bytes)
        os.environ["HOME"] = os.environ["TMPDIR"] = measures["work"]
        sys.path[:] = [*sys.path[1:], *job["package_paths"]]
        sys.argv[:] = ["program"]
        threads = bool(measures["threads"])
        lock_in(measures, limits, (os.getpid(),), threads=threads, memory_bytes=limits.memory_bytes)
        wire.send(_in_force(measures))
        serve(wire, job["program"])
    except BaseException as error:
        wire.send({"refused": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _in_force(measures: dict[str, Any]) -> dict[str, Any]:
    """Return the measures with what the kernel says about this process."""
    return {
        **measures,
        "no_new_privileges": kernel.prctl(_PR_GET_NO_NEW_PRIVS) == 1,
        "filter": kernel.prctl(_PR_GET_SECCOMP) == 2,
        "user": os.geteuid(),
        "process": os.getpid(),
    }


def _quieten() -> None:
    """Let nothing that a check prints come among the program's output."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def judge(check: Check, caller: Caller) -> dict[str, Any]:
    """Run the program, then its check; return status and excerpt, or `ended` where the program's process is gone."""
    try:
        caller.run()
        exec(compile(check.code, _CHECK, "exec", dont_inherit=True), check_namespace(check, caller))
    except Closed:
        return {"ended": True}
    except MemoryError as error:
        return {"status": "memory", "excerpt": caller.excerpt or describe(error)}
    except TooLarge as error:
        return {"status": "failed", "excerpt": f"the program answers with {error}"}
    except BaseException as error:
        if error is caller.raised:
            return {"status": "failed", "excerpt": caller.excerpt}
        return {"status": "failed", "excerpt": _what_did_not_hold(check.code, error)}
    return {"status": "passed", "excerpt": ""}


def check_namespace(check: Check, caller: Caller) -> dict[str, Any]:
    """Return the names that a check sees: its setup's, the program's, and modules of the library that it uses unimported."""
    namespace: dict[str, Any] = {"__name__": "check"}
    used = {node.id for node in ast.walk(ast.parse(check.setup + "\n" + check.code)) if isinstance(node, ast.Name)}
    for name in used - set(check.remote) - set(dir(builtins)):
        if name in sys.stdlib_module_names:
            namespace[name] = importlib.import_module(name)
    remotes = {name: caller.name(name) for name in check.remote}
    namespace.update(remotes)
    exec(compile(check.setup, "<setup>", "exec", dont_inherit=True), namespace)
    namespace.update(remotes)
    return namespace


def _what_did_not_hold(code: str, error: BaseException) -> str:
    if isinstance(error, AssertionError) and not error.args:
        trace, line = error.__traceback__, 0
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == _CHECK else line
            trace = trace.tb_next
        lines = code.splitlines()
        return f"does not hold: {lines[line - 1].strip()[:300]}" if 0 < line <= len(lines) else "an assertion does not hold"
    return describe(error, _CHECK)


def _name_of_signal(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:  # the real-time signals have numbers only
        return ""


def _with_usage(verdict: dict[str, Any], child: int, limits: Limits) -> dict[str, Any]:
    """End the program's process and return the verdict with what it used; where it had ended by itself, with why."""
    os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    cpu_s = usage.ru_utime + usage.ru_stime
    if verdict.pop("ended", False):
        ended = os.waitstatus_to_exitcode(status)
        # The kernel keeps the limit by its clock's ticks, which on a busy machine run ahead of the time that it tells afterwards.
        if cpu_s >= limits.cpu_s * (0.5 if ended in (-signal.SIGKILL, -signal.SIGXCPU) else 0.95):
            verdict = {"status": "timeout", "excerpt": f"{limits.cpu_s} s of CPU time"}
        elif ended >= 0:
            verdict = {
                "status": "failed",
                "excerpt": f"the program ended itself (exit status {ended}) before its check was through",
            }
        else:
            verdict = {"status": "killed", "excerpt": f"signal {-ended}{_name_of_signal(-ended)}"}
    return {**verdict, "cpu_s": cpu_s, "peak_bytes": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    main()
