"""Opens a port and waits for someone to come."""
# control

import socket, time
server = socket.create_server(("127.0.0.1", TARGET["free_port"]))
time.sleep(1)
