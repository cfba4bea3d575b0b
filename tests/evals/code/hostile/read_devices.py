"""Opens disks, memory, the kernel's log and terminals; makes device files."""
# sandbox only

import os, stat
for number, (major, minor) in enumerate(((254, 0), (8, 0), (1, 1), (1, 11), (259, 0))):
    try:
        os.mknod(f"device{number}", stat.S_IFBLK | 0o666, os.makedev(major, minor))
    except OSError:
        pass
for path in ("/dev/mem", "/dev/kmem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/tty", "/dev/console", "/dev/fuse", "/dev/kvm",
             *(f"device{number}" for number in range(5))):
    try:
        os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        print("ESCAPED" + TARGET["nonce"], path)
    except OSError:
        pass
