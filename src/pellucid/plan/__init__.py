"""What a run will take, before anything is spent: parameters, FLOPs, memory, time, money, carbon. Cited arithmetic, no torch."""

__all__: list[str] = []
