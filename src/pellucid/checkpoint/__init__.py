"""Training state to disk and back: whole or absent, checked when loaded, and never the last good one thrown away."""

__all__: list[str] = []
