"""Takes memory by mappings, and catches every error."""
# sandbox only

import mmap
maps = []
for size in (1 << 34, 1 << 30, 1 << 26, 1 << 22):
    for _ in range(300):
        try:
            area = mmap.mmap(-1, size)
            if size <= 1 << 22:
                area.write(b"x" * size)
            maps.append(area)
        except (OSError, MemoryError):
            break
if sum(map(len, maps)) > 1 << 31:
    print("ESCAPED" + TARGET["nonce"])
