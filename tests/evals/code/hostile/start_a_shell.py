"""Starts a shell in every way there is."""
# sandbox only

import os, subprocess
command = "echo ESC''APED" + TARGET["nonce"]
for act in (lambda: print(subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True).stdout),
            lambda: os.system(command), lambda: print(os.popen(command).read()),
            lambda: os.posix_spawn("/bin/sh", ["sh", "-c", command], {}), lambda: os.execv("/bin/sh", ["sh", "-c", command])):
    try:
        act()
    except Exception:
        pass
