"""Text from a model: decoding with a key-value cache, and the choice of each next token."""

__all__: list[str] = []
