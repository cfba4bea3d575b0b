"""How well a model predicts text it never saw, and what simpler predictors make of the same text."""

__all__: list[str] = []
