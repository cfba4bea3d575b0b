"""Checks of a finished run from its folder alone, each one small file: a function from the run to what it looked at and faults.

Nothing of the run is executed, no link is followed, what is read into memory is bounded: whoever made the folder may be hostile.
"""

__all__: list[str] = []
