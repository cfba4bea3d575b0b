"""Makers of the pocket chat data: one module for each kind of conversation."""

__all__: list[str] = []
