"""An export opened by what runs it: each runtime tells ids and log-probabilities, so that all are compared in one way."""

__all__: list[str] = []
