"""Raises exceptions whose type, text and end are made to confuse."""
# forges

class Lie(BaseException):
    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__

Lie.__name__ = "SystemExit"

def answer():
    raise SystemExit(0) from Lie()
