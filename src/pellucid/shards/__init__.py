"""Documents → token shards: the writer with its EOS guard, the memory-mapped reader, the document index. No torch."""

__all__: list[str] = []
