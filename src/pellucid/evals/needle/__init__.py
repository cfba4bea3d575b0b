"""Needle in a haystack: a sentence hidden at every depth of texts of every length, and a question that only it answers."""

__all__: list[str] = []
