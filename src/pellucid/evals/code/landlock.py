"""Landlock: the kernel's own fence around files, ports and signals, which any process can put up for itself (Linux 5.13).

Imported by the sandboxed child, so nothing but the standard library is used here.
"""

import os
import stat
import struct
from collections.abc import Mapping

from pellucid.evals.code.kernel import syscall

__all__ = ["ADD", "LIST", "READ", "WRITE", "restrict", "version"]

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all machines
_ASK_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, LIST = 1, 2, 4, 8
_ALL_OF_FIRST = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_REMOVE_AND_MAKE_FOLDERS = 1 << 4 | 1 << 5 | 1 << 7
_DEVICES_AND_SOCKETS = 1 << 6 | 1 << 9 | 1 << 11
READ = _EXECUTE | _READ_FILE | LIST
WRITE = (_ALL_OF_FIRST | _REFER | _TRUNCATE) & ~_DEVICES_AND_SOCKETS & ~_EXECUTE
ADD = WRITE & ~_REMOVE_AND_MAKE_FOLDERS & ~_REFER
"""To make and write files, but no folders, and to remove none: everything can be found and counted."""
_NET_BIND_CONNECT, _SCOPE_SOCKETS, _SCOPE_SIGNALS = 3, 1, 2


def version() -> int:
    """Return the version of Landlock that the kernel has, 0 when none. From 3 on truncation is fenced in too."""
    try:
        return syscall(_CREATE, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def restrict(rules: Mapping[str, int], *, alone: bool) -> int:
    """Allow this process only the given access below the given paths, and no TCP; return the version in force.

    From version 6 on, sockets without a path and, if it is to be `alone`, signals to other processes are refused too. Needs
    no_new_privs. Raises `OSError`.
    """
    known = version()
    handled = _ALL_OF_FIRST
    handled |= _REFER if known >= 2 else 0
    handled |= _TRUNCATE if known >= 3 else 0
    handled |= _IOCTL_DEVICE if known >= 5 else 0
    network = _NET_BIND_CONNECT if known >= 4 else 0
    scoped = (_SCOPE_SOCKETS | (_SCOPE_SIGNALS if alone else 0)) if known >= 6 else 0
    wanted = struct.pack("=QQQ", handled, network, scoped)[: 24 if known >= 6 else 16 if known >= 4 else 8]
    ruleset = syscall(_CREATE, wanted, len(wanted), 0)
    try:
        for path, access in rules.items():
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = access & handled
            if not stat.S_ISDIR(os.fstat(folder).st_mode):
                allowed &= _OF_A_FILE
            syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, folder), 0)
            os.close(folder)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return known
