"""Appends to a file of the user's, and replaces it."""
# control

for mode in ("a", "r+", "w"):
    try:
        open(TARGET["canary_file"], mode).write("changed")
    except OSError:
        pass
