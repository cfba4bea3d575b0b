"""A view of the machine with nothing in it: own users, files, processes, network, shared memory and host name.

The new root folder lies in memory and holds the interpreter's library and the system's shared libraries, read-only, three devices,
and /sandbox, which is empty, writable and of limited size. There is no /proc, no /sys, no home. Imported by the sandboxed child, so
nothing but the standard library is used here.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.evals.code import kernel

__all__ = ["NOBODY", "WORK", "View", "enter"]

_NEW_MOUNTS, _NEW_CGROUP, _NEW_NAME, _NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEW_USERS, _NEW_PROCESSES, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
_ALL_BUT_USERS = _NEW_MOUNTS | _NEW_CGROUP | _NEW_NAME | _NEW_IPC | _NEW_PROCESSES | _NEW_NETWORK
_PR_SET_DUMPABLE = 4

NOBODY = 65534
WORK = "/sandbox"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True)
class View:
    """What is to be seen: `readable` paths, and room for `folder_bytes` in at most `files` files and folders.

    `scratch` is an empty folder on which the new root is mounted. `nobody` gives a process of root the user id 65534.
    """

    scratch: str
    readable: Sequence[str]
    folder_bytes: int
    files: int
    nobody: bool


def enter(view: View) -> bool:
    """Move this process into new namespaces; its children have process numbers of their own. Raises `OSError`.

    A process of root sets up the files with its own rights and gives them up then; any other needs user namespaces. Returns
    whether it has a user namespace too: root goes on without one where the machine allows none.
    """
    if os.geteuid() == 0:
        try:
            kernel.unshare(_ALL_BUT_USERS)
        except PermissionError:  # root of a container without CAP_SYS_ADMIN
            _enter_as_user(view)
            return True
        processes = os.open("/proc", os.O_DIRECTORY | os.O_CLOEXEC)
        _new_root(view)
        if view.nobody:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            kernel.prctl(_PR_SET_DUMPABLE, 1)  # or its own /proc/self would belong to root
        user, group = os.geteuid(), os.getegid()
        try:
            kernel.unshare(_NEW_USERS)
        except OSError:
            os.close(processes)
            return False
        _name_user(user, group, processes)
    else:
        _enter_as_user(view)
    return True


def _enter_as_user(view: View) -> None:
    processes = os.open("/proc", os.O_DIRECTORY | os.O_CLOEXEC)
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_NEW_USERS | _ALL_BUT_USERS)
    _name_user(user, group, processes)
    _new_root(view)


def _name_user(user: int, group: int, processes: int) -> None:
    """Make one user known to this process's new user namespace; close `processes`, the folder /proc."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=processes)
        os.write(file, text.encode())
        os.close(file)
    os.close(processes)


def _new_root(view: View) -> None:
    root = view.scratch
    os.umask(0o022)
    socket.sethostname("sandbox")
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,nr_inodes=2000,mode=755")
    for path in view.readable:
        target = Path(root + path)
        if Path(path).is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(path).readlink())
            continue
        _place_for(path, target)
        kernel.bind(path, str(target))
    for path in _DEVICES:
        _place_for(path, Path(root + path))
        kernel.bind(path, root + path, device=True)
    Path(root + WORK).mkdir(exist_ok=True)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", root + WORK, "tmpfs", flags, f"size={view.folder_bytes},nr_inodes={view.files + 1},mode=1777")
    kernel.restrict_mount(root)
    os.chdir(root)
    kernel.pivot_root(".", ".")  # the old root then lies on top of the new one
    kernel.umount(".")
    os.chdir(WORK)


def _place_for(path: str, target: Path) -> None:
    if Path(path).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
