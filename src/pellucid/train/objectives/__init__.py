"""Objectives: `(model, micro-batch) → Objective`, one file each. The loop divides once by the step's number of targets."""

__all__: list[str] = []
