"""Opens files until there are no more descriptors."""
# sandbox only

import os
opened = 0
try:
    while opened < 5000:
        os.dup(1)
        opened += 1
except OSError:
    pass
if opened > 500:
    print("ESCAPED" + TARGET["nonce"], opened)
