"""Which command prints or makes what a number was read from. `RUN` stands for the run's folder, `RECIPE` for its recipe."""

from collections.abc import Sequence
from typing import Any

__all__ = ["command_of"]

_MADE_BY = {
    "plan": "pellucid plan RECIPE",
    "documents": "pellucid documents RECIPE",
    "tokenizer": "pellucid tokenizer RECIPE",
    "shards": "pellucid shards RECIPE",
    "conversations": "pellucid conversations RECIPE",
    "scores": "pellucid evaluate RECIPE",
    "benchmarks": "pellucid evaluate RECIPE",
    "exports": "pellucid export RECIPE",
    "throughput": "pellucid throughput RUN",
    "averages": "pellucid show RUN/averages",
    "account": "pellucid show RUN",
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
    return _MADE_BY.get(folder, "pellucid train RECIPE")
