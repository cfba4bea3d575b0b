"""What runs of a study are compared by, in words."""

__all__ = ["METRICS"]

METRICS = {"bits_per_byte": "bits per byte of held-out text", "loss": "training loss, nats per token"}
