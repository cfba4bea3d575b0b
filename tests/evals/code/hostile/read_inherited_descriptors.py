"""Reads whatever file descriptors it was left with."""
# control

import os
for fd in range(3, 1024):
    try:
        os.lseek(fd, 0, 0)
        print(os.read(fd, 4096))
    except OSError:
        pass
