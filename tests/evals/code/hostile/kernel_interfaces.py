"""Asks for bpf, perf, keyrings, userfaultfd, memfd, fanotify, modules: doors through which others got out."""
# sandbox only

import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = {"bpf": (321, 5, bytes(120), 120), "perf": (298, bytes(112), 0, -1, -1, 0), "keyctl": (250, 0, -3, 1), "add_key": (248, b"user", b"x", b"y", 1, -3),
         "userfaultfd": (323, 1), "memfd": (319, b"x", 0), "fanotify": (300, 0, 0), "inotify": (294, 0), "init_module": (175, b"", 0, b""), "pidfd_getfd": (438, 3, 0, 0),
         "kcmp": (312, 1, 1, 0, 0, 0), "process_vm_readv": (310, 1, bytes(16), 1, bytes(16), 1, 0), "personality": (135, 0x0040000), "mq_open": (240, b"x", 66, 438, None)}
for name, call in calls.items():
    if libc.syscall(*call) >= 0:
        print("FORBIDDEN" + TARGET["nonce"], name)
