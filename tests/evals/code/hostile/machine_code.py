"""Makes system calls from machine code of its own, also by the 32-bit door."""
# sandbox only

import ctypes, mmap, platform
if platform.machine() == "x86_64":
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes.fromhex("b829000000bf02000000be0100000031d20f05c3"))  # socket(AF_INET, SOCK_STREAM, 0)
    page.write(bytes.fromhex("b8140000 00cd80c3".replace(" ", "")))  # int 0x80: getpid
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if ctypes.CFUNCTYPE(ctypes.c_int)(start)() >= 0:
        print("FORBIDDEN" + TARGET["nonce"], "socket", flush=True)
    if ctypes.CFUNCTYPE(ctypes.c_int)(start + 20)() > 0:
        print("FORBIDDEN" + TARGET["nonce"], "int 0x80", flush=True)
