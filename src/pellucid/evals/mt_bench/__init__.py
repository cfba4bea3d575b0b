"""MT-Bench: 80 questions of two turns, graded by a judge (Zheng et al. 2023, arXiv 2306.05685)."""

__all__: list[str] = []
