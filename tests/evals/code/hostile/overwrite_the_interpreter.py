"""Writes into the library of the interpreter and of Pellucid."""
# sandbox only

import json, os, sys
for path in (os.__file__, json.__file__, sys.executable, TARGET["package"]):
    try:
        open(path, "a").write("\n# planted\n")
        print("ESCAPED" + TARGET["nonce"])
    except OSError:
        pass
    try:
        os.rename(path, path + ".gone")
        print("ESCAPED" + TARGET["nonce"])
    except OSError:
        pass
