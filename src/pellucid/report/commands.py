"""Which command prints or makes what a number was read from. `RUN` stands for the run's folder."""

from collections.abc import Sequence
from typing import Any

__all__ = ["RECIPE", "command_of"]

RECIPE = "RUN/recipe.resolved.yaml"
_MADE_BY = {
    "plan": f"pellucid plan {RECIPE}",
    "documents": f"pellucid documents {RECIPE}",
    "tokenizer": f"pellucid tokenizer {RECIPE}",
    "shards": f"pellucid shards {RECIPE}",
    "conversations": f"pellucid conversations {RECIPE}",
    "scores": f"pellucid evaluate {RECIPE}",
    "benchmarks": f"pellucid evaluate {RECIPE}",
    "exports": f"pellucid export {RECIPE}",
    "throughput": "pellucid throughput RUN",
    "averages": "pellucid show RUN/averages",
    "ledger.jsonl": "pellucid verify RUN",
    "report": "pellucid verify RUN",
}


def command_of(file: str, keys: Sequence[str | int], document: Any) -> str:
    """Return the command that prints the value at these keys of a run's file where there is one, else the one that makes the file.

    A step of training is opened by `inspect`, a manifest by `show`; everything else is made by its stage.
    """
    folder, _, name = file.partition("/")
    if name == "manifest.json":
        return f"pellucid show RUN/{folder}"
    if name == "metrics.jsonl" and keys and isinstance(keys[0], int) and "loss" in document[keys[0]]:
        return f"pellucid inspect RUN --stage {folder} --step {document[keys[0]]['step']}"
    if folder == "evals" and isinstance(document, dict) and "suite" in document:
        return f"pellucid evaluate RUN --suite {document['suite']}"
    return _MADE_BY.get(folder, f"pellucid train {RECIPE}")
