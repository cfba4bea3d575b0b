"""The trained model in other runtimes' formats, and the proof that it is still the same model there."""

__all__: list[str] = []
