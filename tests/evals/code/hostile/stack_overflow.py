"""Overflows the stack below Python."""
# sandbox only

import sys
sys.setrecursionlimit(10**8)

def deeper(value):
    return [deeper(value)]

deeper([])
