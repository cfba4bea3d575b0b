"""Walks through the user's home and the folder Pellucid was called in."""
# control

import os
for top in (TARGET["home"], TARGET["cwd"], os.path.expanduser("~"), ".", ".."):
    for folder, _, names in os.walk(top):
        for name in names[:50]:
            try:
                print(open(os.path.join(folder, name)).read(2000))
            except Exception:
                pass
        if folder.count("/") > top.count("/") + 2:
            break
