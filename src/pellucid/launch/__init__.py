"""The recipe's launch section → a job file that runs torchrun: shell script, sbatch script or Kubernetes manifest. No torch."""

__all__: list[str] = []
