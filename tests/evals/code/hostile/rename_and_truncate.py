"""Moves and empties a file of the user's."""
# control

import os
try:
    os.truncate(TARGET["canary_file"], 0)
except OSError:
    pass
os.rename(TARGET["canary_file"], TARGET["canary_file"] + ".gone")
