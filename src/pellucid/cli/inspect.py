"""`pellucid inspect RUN --step N`: what one training step read."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from pellucid.batches.inspect import inspect_step
from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.errors import UsageError
from pellucid.stages.run_folder import data_order, open_recipe, training_stage
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Print the step's sequences with their documents. The order is a pure function, so this needs no log of the training."""
    run = Path(arguments.run)
    recipe = open_recipe(run)
    stage = training_stage(recipe, arguments.stage)
    if not 1 <= arguments.step <= stage.total_steps:
        raise UsageError(f"--step {arguments.step}: stage {stage.name!r} has steps 1 to {stage.total_steps}, as in metrics.jsonl")
    order = data_order(recipe, stage, run)
    decode = load_tokenizer(run / "tokenizer").decode if arguments.text else None
    step = {**inspect_step(order, arguments.step - 1, stage.batch_seqs, decode), "step": arguments.step}
    if arguments.json:
        print_json({"stage": stage.name, **step})
    else:
        _print_step(step, stage.name, stage.total_steps)
    return 0


def _print_step(step: dict[str, Any], stage: str, total_steps: int) -> None:
    sequences = step["sequences"]
    rows = []
    for sequence in sequences:
        before = None
        for number, document in enumerate(sequence["documents"]):
            first = number == 0
            rows.append(
                (
                    sequence["index"] if first else "",
                    document["source"] if document["source"] != before else "",
                    f"{sequence['epoch']}/{sequence['window']}" if first else "",
                    document["id"],
                    document["language"],
                    document["licence"],
                    document["tokens"],
                )
            )
            before = document["source"]
            if "excerpt" in document:
                rows.append(("", "", "", repr(document["excerpt"])[:100], "", "", ""))
    title = f"step {step['step']} of {total_steps} in {stage}: {len(sequences)} sequences of {step['seq_tokens']} tokens"
    print_table(("sequence", "source", "epoch/window", "document", "lang", "licence", "tokens"), rows, title=title, right=(0, 6))
    shares = Counter(source for sequence in sequences for source in {document["source"] for document in sequence["documents"]})
    print_text("by source: " + ", ".join(f"{name} {count}" for name, count in shares.most_common()))
    print_text(f"masked targets: {sum(sequence['masked_targets'] for sequence in sequences)}")
    if padding := sum(sequence["padding_tokens"] for sequence in sequences):
        print_text(f"of these padding: {padding}")
