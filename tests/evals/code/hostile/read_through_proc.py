"""Goes through /proc to other processes' files, memory and root folder."""
# control

for path in ("/proc/1/root" + TARGET["secret_file"], "/proc/self/root" + TARGET["secret_file"], "/proc/self/cwd/../.." + TARGET["secret_file"],
             f"/proc/{TARGET['victim']}/environ", f"/proc/{TARGET['victim']}/root" + TARGET["secret_file"]):
    try:
        print(open(path).read())
    except OSError:
        pass
