"""Takes memory until there is none."""
# sandbox only

taken = []
try:
    while len(taken) < 3000:
        taken.append(b"x" * (1 << 20))
finally:
    if len(taken) > 1000:
        print("ESCAPED" + TARGET["nonce"], len(taken))
