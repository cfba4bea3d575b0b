"""Text ↔ ids: byte-level BPE, trained here or Arcade100k, exact on any Unicode, equal to tiktoken, exported to Hugging Face."""

__all__ = ["arcade", "encoder", "huggingface", "tokenizer", "training"]
