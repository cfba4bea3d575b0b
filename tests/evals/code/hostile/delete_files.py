"""Deletes a folder of the user's."""
# control

import os, shutil
for act in (os.remove, os.unlink):
    try:
        act(TARGET["canary_file"])
    except OSError:
        pass
shutil.rmtree(TARGET["canary_folder"], ignore_errors=True)
