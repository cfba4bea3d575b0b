"""A filter of system calls (seccomp-bpf): what a pure Python program needs, and nothing else.

It is a list of what is allowed. What is not on it fails with EPERM: sockets, processes, execution, tracing, mounting, namespaces,
io_uring, bpf, keyrings, shared memory, signals to others, higher limits, and whatever later kernels bring. Imported by the
sandboxed child, so nothing but the standard library is used here.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Collection, Sequence

from pellucid.evals.code.kernel import prctl

__all__ = ["MACHINES", "SYSCALLS", "build_filter", "install", "is_supported"]

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table below, and AUDIT_ARCH of the kernel."""

_FREE = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70 preadv2:327:286
pwritev2:328:287 open:2:- openat:257:56 creat:85:- close:3:57 close_range:436:436 lseek:8:62 stat:4:- fstat:5:80 lstat:6:-
newfstatat:262:79 statx:332:291 statfs:137:43 fstatfs:138:44 access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:-
readlinkat:267:78 getdents:78:- getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50 mkdir:83:- mkdirat:258:34 rmdir:84:-
unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38 renameat2:316:276 symlink:88:- symlinkat:266:36 link:86:- linkat:265:37
truncate:76:45 ftruncate:77:46 fallocate:285:47 fsync:74:82 fdatasync:75:83 flock:73:32 umask:95:166 fadvise64:221:223
sendfile:40:71 copy_file_range:326:285 dup:32:23 dup2:33:- dup3:292:24 pipe:22:- pipe2:293:59 poll:7:- ppoll:271:73 select:23:-
pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 eventfd2:290:19
mmap:9:222 mprotect:10:226 munmap:11:215 mremap:25:216 madvise:28:233 brk:12:214 msync:26:227 futex:202:98 membarrier:324:283
rseq:334:293 set_robust_list:273:99 get_robust_list:274:100 set_tid_address:218:96 arch_prctl:158:- rt_sigaction:13:134
rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137 rt_sigsuspend:130:133 sigaltstack:131:132
pause:34:- restart_syscall:219:128 alarm:37:- getitimer:36:102 setitimer:38:103 getpid:39:172 gettid:186:178 getppid:110:173
getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 getpgrp:111:-
getpgid:121:155 getsid:124:156 getpriority:140:141 uname:63:160 sysinfo:99:179 getrusage:98:165 times:100:153 getrlimit:97:163
sched_yield:24:124 sched_getaffinity:204:123 getcpu:309:168 time:201:- gettimeofday:96:169 clock_gettime:228:113
clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101 getrandom:318:278 exit:60:93 exit_group:231:94 wait4:61:260
waitid:247:95
"""
# Modes, owners and times of files are no matter of Landlock, so these are allowed only where nothing but the program's own folder
# can be reached at all.
_METADATA = "chmod:90:- fchmod:91:52 fchmodat:268:53 utime:132:- utimes:235:- futimesat:261:- utimensat:280:88"
_JUDGED = "ioctl:16:29 fcntl:72:25 prctl:157:167 kill:62:129 tgkill:234:131 prlimit64:302:261 clone:56:220 clone3:435:435"


def _table(text: str) -> dict[str, tuple[int | None, int | None]]:
    rows = (entry.split(":") for entry in text.split())
    return {name: (int(x86) if x86 != "-" else None, int(arm) if arm != "-" else None) for name, x86, arm in rows}


SYSCALLS = _table(_FREE + _METADATA + " " + _JUDGED)
"""Number of each system call named here on x86_64 and on aarch64; None where the machine has no such call."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_TERMINAL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_FILE_REQUESTS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032)  # duplicates, flags, locks, a pipe's size; no owner, no lease
_PROCESS_REQUESTS = (15, 16, 21, 39)  # set and get the name; ask for seccomp and no_new_privs
_UNNAMED_FILE = 0x00400000  # __O_TMPFILE, the same on both machines
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020000

Instruction = tuple[int, int, int, int]


def is_supported(machine: str = "") -> bool:
    """Tell whether there is a table for this machine."""
    return (machine or platform.machine()) in MACHINES


def build_filter(machine: str, pids: Collection[int], *, threads: bool, metadata: bool) -> bytes:
    """Return the BPF program, 8 bytes an instruction.

    Signals may go to `pids` only (one's own, for `os.abort`). `threads` allows clone(2) for threads, never for processes;
    `metadata` allows chmod and utime, and files without a name, which a look into their folder would not find.
    """
    column, arch = MACHINES[machine]
    program: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    judged = {
        "ioctl": _one_of(1, _TERMINAL_REQUESTS),
        "fcntl": _one_of(1, _FILE_REQUESTS),
        "prctl": _one_of(0, _PROCESS_REQUESTS),
        "kill": _one_of(0, tuple(pids)),
        "tgkill": _one_of(0, tuple(pids)),
        "prlimit64": _only_asks(),
        "clone": _thread() if threads else _refuse(errno.EPERM),
        "clone3": _refuse(errno.ENOSYS),  # its flags lie in memory; the C library then takes clone
    }
    if not metadata:
        judged |= {"open": _no_bit(1, _UNNAMED_FILE), "openat": _no_bit(2, _UNNAMED_FILE)}
    for name in _table(_FREE + (_METADATA if metadata else "")):
        number = SYSCALLS[name][column]
        if number is not None and name not in judged:
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name, block in judged.items():
        number = SYSCALLS[name][column]
        if number is not None:
            program += [(_EQUAL, 0, len(block), number), *block]
    program += _refuse(errno.EPERM)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _refuse(code: int) -> list[Instruction]:
    return [(_RETURN, 0, 0, _ERRNO | code)]


def _one_of(argument: int, values: Sequence[int]) -> list[Instruction]:
    """Allow these values of an argument that the kernel reads as 32 bits."""
    block: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
    for value in values:
        block += [(_EQUAL, 0, 1, value & 0xFFFFFFFF), (_RETURN, 0, 0, _ALLOW)]
    return block + _refuse(errno.EPERM)


def _no_bit(argument: int, bits: int) -> list[Instruction]:
    """Allow an argument that the kernel reads as 32 bits and that has none of these bits."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (_ANY_BIT, 1, 0, bits),
        (_RETURN, 0, 0, _ALLOW),
        *_refuse(errno.EPERM),
    ]


def _only_asks() -> list[Instruction]:
    """Allow prlimit64 without new limits: its third argument, a pointer, is null in both halves."""
    low, high = _ARGUMENTS + 16, _ARGUMENTS + 20
    return [
        (_LOAD, 0, 0, low),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, high),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        *_refuse(errno.EPERM),
    ]


def _thread() -> list[Instruction]:
    """Allow clone for a thread of this process, without new namespaces."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS),
        (_ANY_BIT, 2, 0, _CLONE_NAMESPACES),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        *_refuse(errno.EPERM),
    ]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(program: bytes) -> None:
    """Filter this process's system calls from now on, and those of its threads to come. Needs no_new_privs. Raises `OSError`."""
    buffer = ctypes.create_string_buffer(program, len(program))
    wanted = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_char_p))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(wanted))
