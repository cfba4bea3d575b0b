"""Parameter groups, AdamW and Muon, and learning-rate schedules as pure functions of the step."""

__all__: list[str] = []
