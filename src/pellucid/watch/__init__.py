"""Looking at training while it goes on: all from `metrics.jsonl` and its neighbours, nothing from the process that trains."""

__all__: list[str] = []
