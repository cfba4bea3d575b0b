"""Raw text → documents: readers for text, jsonl and parquet, exact dedup, the held-out split, and the funnel. No torch."""

__all__: list[str] = []
