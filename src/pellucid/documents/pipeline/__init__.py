"""The documents stage in three passes over partitions: clean each alone, decide about all together, finish each alone."""

__all__: list[str] = []
