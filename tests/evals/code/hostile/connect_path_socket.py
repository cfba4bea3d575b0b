"""Talks to a local server by the path of its socket."""
# control

import socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect(TARGET["unix_path"])
    client.sendall(b"stolen")
