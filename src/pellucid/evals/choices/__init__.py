"""The small runner: multiple choice by log-likelihood, closing words, and bits per byte, light enough to run inside training."""

__all__: list[str] = []
