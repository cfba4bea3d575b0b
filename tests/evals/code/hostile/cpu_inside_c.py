"""Computes for ever inside the interpreter's C code, where no exception gets."""
# sandbox only

import re
re.match(r"(a|a)*b", "a" * 60)
