"""The typed recipe: load, extend, override, validate, explain. Sections are small frozen models, one file per library. No torch."""

__all__: list[str] = []
