"""Leaves data in shared memory, by POSIX and by System V."""
# control

import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmget(TARGET["shm_key"], 4096, 0o1000 | 0o666)
try:
    open("/dev/shm/pellucid-hostile-" + TARGET["nonce"], "w").write("x")
except OSError:
    pass
from multiprocessing import shared_memory
shared_memory.SharedMemory("pellucid-hostile-" + TARGET["nonce"], create=True, size=4096)
