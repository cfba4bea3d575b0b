"""What every other package may use: artifacts, ledger, errors, units, seeds, metrics, progress. No torch."""

__all__: list[str] = []
