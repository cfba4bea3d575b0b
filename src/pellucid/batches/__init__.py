"""Token shards → (B, T) batches. Which tokens a step sees is a pure function of weights, shards, seed and step. No torch."""

__all__: list[str] = []
