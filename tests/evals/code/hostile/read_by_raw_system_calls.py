"""Opens the file without Python's open, by system calls."""
# control

import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
path = TARGET["secret_file"].encode()
buffer = ctypes.create_string_buffer(4096)
for call in ((257, -100, path, 0, 0), (2, path, 0, 0), (437, -100, path, struct.pack("QQQ", 0, 0, 0), 24), (56, -100, path, 0, 0)):
    fd = libc.syscall(*call) if call[0] != 56 else -1
    if fd >= 0 and libc.read(fd, buffer, 4096) > 0:
        print(buffer.value)
