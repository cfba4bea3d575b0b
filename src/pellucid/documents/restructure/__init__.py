"""Templates that turn the records of raw data sets into text to train on (reStructured pre-training, Yuan & Liu 2022)."""

__all__: list[str] = []
