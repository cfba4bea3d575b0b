"""Returns values that are enormous, deep or circular."""
# sandbox only

import itertools
calls = itertools.count()

def answer():
    deep = []
    for _ in range(200_000):
        deep = [deep]
    circle = []
    circle.append(circle)
    return (lambda: "x" * (400 << 20), lambda: deep, lambda: circle, lambda: [0] * 10**7)[next(calls) % 4]()
