"""What is published of a run: which files, what is said of them, and how far they are open. Without torch."""

__all__: list[str] = []
