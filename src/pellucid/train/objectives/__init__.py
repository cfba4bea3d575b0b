"""Objectives: `(model, micro-batch) → ObjectiveLoss`, one file each. The loop divides once by the units of the step."""

__all__: list[str] = []
