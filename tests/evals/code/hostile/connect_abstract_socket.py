"""Talks to a local server whose socket has no path."""
# control

import socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect("\0" + TARGET["abstract"])
    client.sendall(b"stolen")
