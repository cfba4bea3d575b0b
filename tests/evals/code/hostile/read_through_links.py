"""Makes symbolic and hard links in its own folder and reads through them."""
# control

import os
for make in (os.symlink, os.link):
    for name, target in (("a", TARGET["secret_file"]), ("b", "/etc/passwd"), ("c", TARGET["home"])):
        try:
            make(target, make.__name__ + name)
            print(open(make.__name__ + name).read())
        except OSError:
            pass
print(open("symlinkc/secret.txt").read())
