"""Waits for ever in the function that is tested."""
# sandbox only

import threading

def answer():
    threading.Event().wait()
