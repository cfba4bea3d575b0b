"""Lets the kernel send the signal: another process becomes the owner of a pipe."""
# control

import fcntl, os, time
reading, writing = os.pipe()
fcntl.fcntl(reading, fcntl.F_SETOWN, TARGET["victim"])
fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(writing, b"x")
time.sleep(0.2)
