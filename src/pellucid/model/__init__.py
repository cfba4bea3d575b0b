"""The decoder: token ids to hidden states and logits, its key-value cache, and its Hugging Face names."""

__all__: list[str] = []
