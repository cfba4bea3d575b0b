"""Changes modes, owner, times and attributes of the user's files."""
# control

import os
path = TARGET["canary_file"]
for act in (lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1)), lambda: os.setxattr(path, "user.planted", b"1"), lambda: os.chown(path, 1, 1),
            lambda: os.chmod(TARGET["canary_folder"], 0o777)):
    try:
        act()
    except OSError:
        pass
