"""Writes many files until the disk is full or has no more of them."""
# sandbox only

made = size = 0
try:
    for made in range(30_000):
        size += open(f"file{made}", "wb", buffering=0).write(b"x" * 30_000)
finally:
    if made > 20_000 or size > 300 << 20:
        print("ESCAPED" + TARGET["nonce"], made, size)
