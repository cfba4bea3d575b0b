"""Decontamination: benchmark items → an index of their runs of words → the documents that hold one of them."""

__all__: list[str] = []
