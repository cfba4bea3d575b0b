import errno
import platform
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.evals.code.seccomp import MACHINES, SYSCALLS, build_filter, is_supported

HEADERS = {"x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), "aarch64": Path("/usr/include/asm-generic/unistd.h")}
ALLOW, KILL, REFUSED, NO_SUCH = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def judged(
    machine: str, number: int, *arguments: int, arch: int | None = None, threads: bool = True, metadata: bool = False
) -> int:
    """Interpret the filter as the kernel does, for a system call of process 7."""
    data = struct.pack("=iIQ6Q", number, MACHINES[machine][1] if arch is None else arch, 0, *arguments, *[0] * (6 - len(arguments)))
    program = build_filter(machine, (7,), threads=threads, metadata=metadata)
    at = value = 0
    while True:
        code, if_so, if_not, k = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        elif code == 0x15:
            at += if_so if value == k else if_not
        elif code == 0x45:
            at += if_so if value & k else if_not
        else:
            assert code == 0x06
            return k


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_systems_header(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip(f"no {HEADERS[machine]}")
    published = {
        name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    }
    published.setdefault("newfstatat", published.get("fstatat", -1))  # the generic table's name
    column = MACHINES[machine][0]
    for name, numbers in SYSCALLS.items():
        number = numbers[column]
        if number is None:
            assert machine == "aarch64"
            assert name not in published
        else:
            assert published[name] == number, name


@pytest.mark.parametrize("machine", MACHINES)
def test_what_a_computation_needs_is_allowed_and_everything_else_is_not(machine: str) -> None:
    column = MACHINES[machine][0]
    number = {name: -1 if numbers[column] is None else numbers[column] for name, numbers in SYSCALLS.items()}
    assert judged(machine, number["read"], 0) == ALLOW
    assert judged(machine, number["exit_group"], 0) == ALLOW
    known = {numbers[column] for numbers in SYSCALLS.values()}
    assert {judged(machine, other) for other in range(600) if other not in known} == {REFUSED}
    assert judged(machine, number["read"], arch=0x40000003) == KILL
    assert judged(machine, 0x40000000 + number["read"]) == REFUSED  # x32


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_a_call_is_both_good_and_bad(machine: str) -> None:
    column = MACHINES[machine][0]
    number = {name: -1 if numbers[column] is None else numbers[column] for name, numbers in SYSCALLS.items()}
    assert judged(machine, number["kill"], 7, 6) == ALLOW
    for other in (1, 0, 8, 2**32 - 1, 2**64 - 1):
        assert judged(machine, number["kill"], other, 9) == REFUSED
    assert judged(machine, number["ioctl"], 1, 0x5401) == ALLOW
    assert judged(machine, number["ioctl"], 1, 0x5412) == REFUSED  # TIOCSTI
    assert judged(machine, number["fcntl"], 1, 3) == ALLOW
    assert judged(machine, number["fcntl"], 1, 8) == REFUSED  # F_SETOWN
    assert judged(machine, number["prlimit64"], 0, 7, 0, 1 << 40) == ALLOW
    assert judged(machine, number["prlimit64"], 0, 7, 1 << 40, 0) == REFUSED
    assert judged(machine, number["prlimit64"], 0, 7, 0xFFF, 0) == REFUSED
    assert judged(machine, number["clone3"]) == NO_SUCH


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_may_be_started_where_they_are_counted_and_processes_never(machine: str) -> None:
    clone = SYSCALLS["clone"][MACHINES[machine][0]] or -1
    assert judged(machine, clone, 0x3D0F00) == ALLOW
    assert judged(machine, clone, 0x3D0F00, threads=False) == REFUSED
    assert judged(machine, clone, 17) == REFUSED  # fork
    assert judged(machine, clone, 0x4111) == REFUSED  # vfork
    assert judged(machine, clone, 0x3D0F00 | 0x10000000) == REFUSED  # with a namespace


def test_files_modes_may_be_changed_only_where_none_but_ones_own_are_in_sight() -> None:
    assert judged("x86_64", 90, metadata=True) == ALLOW
    assert judged("x86_64", 90, metadata=False) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_files_without_a_name_are_made_only_where_a_file_system_of_ones_own_counts_them(machine: str) -> None:
    column = MACHINES[machine][0]
    for name, before in (("open", 1), ("openat", 2)):
        number = SYSCALLS[name][column]
        if number is not None:
            assert judged(machine, number, *[0] * before, 0o100 | 0x80000) == ALLOW
            assert judged(machine, number, *[0] * before, 0o20000000 | 2) == REFUSED
            assert judged(machine, number, *[0] * before, 0o20000000 | 2, metadata=True) == ALLOW
    assert judged(machine, 0) == (ALLOW if machine == "x86_64" else REFUSED), "a call that a machine does not have is not call 0"


@pytest.mark.skipif(sys.platform != "linux" or not is_supported(), reason="no table for this machine")
def test_the_kernel_keeps_to_the_filter(alone: Callable[..., str]) -> None:
    shown = alone(
        "import os, platform, socket\nfrom pellucid.evals.code import kernel, seccomp\nkernel.no_new_privileges()\n"
        "seccomp.install(seccomp.build_filter(platform.machine(), (os.getpid(),), threads=True, metadata=True))\n"
        "print(open(os.devnull).read() == '')\n"
        "for act in (socket.socket, os.fork, lambda: os.execv('/bin/true', ['true']), lambda: os.kill(os.getppid(), 0)):\n"
        "    try:\n        act()\n        print('went through')\n    except PermissionError:\n        print('refused')\n"
    )
    assert shown.split() == ["True", *["refused"] * 4]


def test_machines_without_a_table_are_told_apart() -> None:
    assert is_supported("x86_64")
    assert not is_supported("riscv64")
    assert is_supported() == (platform.machine() in MACHINES)
