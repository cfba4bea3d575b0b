"""Leaves links to the user's folder and folders without rights, for whoever removes its own."""
# sandbox only

import os
here = os.getcwd()
os.symlink(TARGET["canary_folder"], "link")
os.makedirs("a/b/c")
os.symlink(TARGET["canary_folder"], "a/b/c/link")
os.mkdir("closed", 0o300)
open("closed/file", "w").write("x")
os.mkdir("shut", 0)
try:
    os.rename(here, here + "-moved")
    os.symlink(TARGET["canary_folder"], here)
except OSError:
    pass
