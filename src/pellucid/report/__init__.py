"""Artifacts → tables, figures and one HTML page. Reads only; deleting this folder breaks nothing else. No torch."""

__all__: list[str] = []
