"""Reads the machine's user names."""
# control

print(open("/etc/passwd").read())
