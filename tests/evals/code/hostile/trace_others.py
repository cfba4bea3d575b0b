"""Attaches to another process, reads and writes its memory."""
# control

import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for pid in (TARGET["victim"], os.getppid(), 1):
    if pid not in (0, os.getpid(), TARGET["parent"]) and (pid != 1 or os.getppid() != TARGET["parent"]):
        for request in (16, 0x4206):
            if libc.ptrace(request, pid, None, None) == 0:
                print("ESCAPED" + TARGET["nonce"], "ptrace", pid)
                libc.ptrace(17, pid, None, None)
        try:
            open(f"/proc/{pid}/mem", "r+b")
            print("ESCAPED" + TARGET["nonce"], "mem", pid)
        except OSError:
            pass
        if libc.syscall(434, pid, 0) >= 0:
            print("ESCAPED" + TARGET["nonce"], "pidfd", pid)
