"""Sets the clock (to what it shows) and the machine's name (to what it is)."""
# sandbox only

import socket, time
for act in (lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()), lambda: socket.sethostname(socket.gethostname())):
    try:
        act()
        print("ESCAPED" + TARGET["nonce"])
    except OSError:
        pass
