"""The server: an OpenAI-compatible interface over any engine, guarded, counted, and stopped without losing what runs."""

__all__: list[str] = []
