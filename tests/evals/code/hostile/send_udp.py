"""Sends a datagram."""
# control

import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"stolen", ("127.0.0.1", TARGET["udp_port"]))
