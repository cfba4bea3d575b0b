"""Computes for ever."""
# sandbox only

while True:
    pass
