"""Tries sockets of every family, netlink and raw packets among them, and io_uring, which opens sockets by itself."""
# sandbox only

import ctypes, socket
for family in range(1, 46):
    for kind in (1, 2, 3, 5):
        try:
            made = socket.socket(family, kind)
            print("FORBIDDEN" + TARGET["nonce"], family, kind)
            made.connect(("127.0.0.1", TARGET["tcp_port"]))
        except (OSError, TypeError, ValueError, OverflowError):
            pass
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(425, 8, bytes(120)) >= 0:
    print("FORBIDDEN" + TARGET["nonce"], "io_uring")
if libc.syscall(0x40000000 + 41, 2, 1, 0) >= 0:
    print("FORBIDDEN" + TARGET["nonce"], "x32")
