"""Cleaning: one step a file. A step takes a `TextBatch`, drops documents with a reason, or changes their texts and counts it."""

__all__: list[str] = []
