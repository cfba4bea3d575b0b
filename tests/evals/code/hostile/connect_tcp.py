"""Connects to a server on this machine and sends it something."""
# control

import socket
for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0"):
    try:
        socket.create_connection((host, TARGET["tcp_port"]), 0.3).sendall(b"stolen")
    except OSError:
        pass
