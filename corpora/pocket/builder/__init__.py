"""Builds the pocket corpus from Debian, PyPI and npm packages: fetch, read, clean, deduplicate, hold out, write."""

__all__: list[str] = []
