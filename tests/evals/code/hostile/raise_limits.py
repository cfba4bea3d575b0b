"""Raises its own limits and priority."""
# sandbox only

import os, resource
for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
    try:
        soft, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            resource.setrlimit(kind, (hard + 1, hard + 1))
            print("ESCAPED" + TARGET["nonce"], kind)
    except (OSError, ValueError):
        pass
try:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    print("ESCAPED" + TARGET["nonce"], "priority")
except OSError:
    pass
