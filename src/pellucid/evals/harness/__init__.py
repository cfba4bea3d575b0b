"""lm-evaluation-harness as an adapter: its tasks, prompts and metrics on any `Subject`, with local data or the hub's."""

__all__: list[str] = []
