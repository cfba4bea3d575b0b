"""Becomes root, by itself or by set-user-id programs."""
# sandbox only

import ctypes, os
for act in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0]), lambda: os.execv("/usr/bin/su", ["su", "-c", "id"]),
            lambda: os.execv("/usr/bin/passwd", ["passwd", "--help"])):
    try:
        act()
    except OSError:
        pass
libc = ctypes.CDLL(None, use_errno=True)
if libc.capset(b"\x22\x05\x08\x20" + bytes(4), b"\xff" * 24) == 0:
    print("ESCAPED" + TARGET["nonce"], "capset")
