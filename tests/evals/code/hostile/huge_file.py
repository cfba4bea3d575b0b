"""Writes a file until the disk is full."""
# sandbox only

import os
written = 0
fd = os.open("big", os.O_CREAT | os.O_WRONLY)
try:
    while written < 1 << 30:
        written += os.write(fd, b"x" * (1 << 20))
finally:
    if written > 100 << 20:
        print("ESCAPED" + TARGET["nonce"], written)
