"""The training loop, its objectives, and what surrounds a step: data, precision, signals, metrics, resuming."""

__all__: list[str] = []
