"""A model behind an OpenAI-compatible endpoint: the client that keeps asking, and the subject that suites see."""

__all__: list[str] = []
