"""Programs that a model writes, run against tests in a sandbox: HumanEval, MBPP, pass@k."""

__all__: list[str] = []
