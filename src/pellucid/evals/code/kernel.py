"""Calls to the kernel that Python's library has no function for, by ctypes. Each raises `OSError` where the kernel refuses.

Imported by the sandboxed child, so nothing but the standard library is used here.
"""

import ctypes
import os
import struct

__all__ = [
    "CAPABILITIES",
    "bind",
    "drop_capabilities",
    "mount",
    "no_new_privileges",
    "pivot_root",
    "prctl",
    "restrict_mount",
    "syscall",
    "umount",
    "unshare",
]

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 1, 2, 4, 8
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_SETATTR = 442  # the same on all machines
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES = 64
"""More than any kernel knows; those it does not know are passed over."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by its number. Integers are passed as 64 bits, bytes and None as pointers."""
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *passed), f"system call {number}")


def unshare(flags: int) -> None:
    """Give this process namespaces of its own (CLONE_NEW… flags)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount something, or change how `target` is mounted."""
    kind_bytes = kind.encode() if kind else None
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind_bytes, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount {target}")


def bind(source: str, target: str, *, device: bool = False) -> None:
    """Show `source` at `target`, read-only, without set-user-id; a folder also without devices, a device without execution."""
    mount(source, target, None, MS_BIND | MS_REC)
    restrict_mount(target, _ATTR_RDONLY | _ATTR_NOSUID | (_ATTR_NOEXEC if device else _ATTR_NODEV), below=True)


def restrict_mount(target: str, attributes: int = _ATTR_RDONLY, *, below: bool = False) -> None:
    """Add attributes to a mount, read-only by default, and to all mounts below it (mount_setattr, Linux 5.12)."""
    wanted = struct.pack("=QQQQ", attributes, 0, 0, 0)
    syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE if below else 0, wanted, len(wanted))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root folder and put the old one at `old`."""
    _check(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def umount(target: str) -> None:
    """Take a mount away, at once for new uses, later for what is still open."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(_MNT_DETACH)), f"umount {target}")


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """Call prctl(2)."""
    result = _libc.prctl(
        ctypes.c_int(option), ctypes.c_ulong(argument), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    return _check(result, f"prctl {option}")


def no_new_privileges() -> None:
    """Let no program that is started from now on gain rights (set-user-id, file capabilities)."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up all capabilities for good: bounding, ambient, inheritable, permitted and effective ones."""
    for capability in range(CAPABILITIES):
        try:
            prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            break  # beyond the kernel's last one, or none to give up: the sets below are what counts
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header, nothing = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    _check(_libc.capset(header, nothing), "capset")
