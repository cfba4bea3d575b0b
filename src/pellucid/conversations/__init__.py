"""Conversations and preference pairs: read in the shapes people publish them in, filtered, written as ids and loss masks."""

__all__: list[str] = []
