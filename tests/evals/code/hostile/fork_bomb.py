"""Starts processes until it cannot; they stay."""
# sandbox only

import os, time
started = 0
try:
    for _ in range(300):
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        started += 1
except OSError:
    pass
if started > 40:
    print("ESCAPED" + TARGET["nonce"], started)
if started:
    print("FORBIDDEN" + TARGET["nonce"], started)
