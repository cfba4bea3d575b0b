"""Documents that are there more than once: exactly equal keys, and nearly equal texts, over all sources, in bounded memory."""

__all__: list[str] = []
