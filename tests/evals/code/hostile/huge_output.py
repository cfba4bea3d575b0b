"""Prints ten gigabytes."""
# sandbox only

import os
block = b"x" * (1 << 20)
for _ in range(10_000):
    os.write(1, block)
