"""Starts threads until it cannot."""
# sandbox only

import threading, time
threading.stack_size(32768)
started = 0
try:
    for _ in range(2000):
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        started += 1
except RuntimeError:
    pass
if started > 40:
    print("ESCAPED" + TARGET["nonce"], started)
