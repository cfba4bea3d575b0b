"""Makes files wherever it might be able to."""
# control

import os
for folder in (TARGET["canary_folder"], TARGET["home"], TARGET["cwd"]):
    try:
        open(os.path.join(folder, "planted"), "w").write("planted")
    except OSError:
        pass
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", "/etc", "/usr/lib"):
    try:
        open(os.path.join(folder, "pellucid-hostile-" + TARGET["nonce"]), "w").write("planted")
    except OSError:
        pass
