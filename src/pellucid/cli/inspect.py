"""`pellucid inspect RUN --step N | --documents [SOURCE]`: what one training step read, or the documents themselves."""

import argparse
from pathlib import Path

from pellucid.batches.inspect import inspect_step
from pellucid.batches.inspect_examples import inspect_examples
from pellucid.cli.colours import colours_of
from pellucid.cli.inspect_documents import account_of, documents_of, print_account, print_documents
from pellucid.cli.inspect_step import print_step
from pellucid.cli.output import print_json
from pellucid.conversations.store import Examples
from pellucid.core.errors import UsageError
from pellucid.recipe.recipe import Recipe
from pellucid.stages.examples import example_folders, example_order
from pellucid.stages.run_folder import data_order, open_recipe, training_stage
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Print a step's sequences with their documents, or a page of a source's documents."""
    for flag, default in (("stage", None), ("text", False)) if arguments.step is None else (("heldout", False),):
        if getattr(arguments, flag) != default:
            raise UsageError(f"--{flag} goes with {'--step' if arguments.step is None else '--documents'}; leave it out here")
    for flag in ("first", "count"):
        value = getattr(arguments, flag)
        if value is not None and value < 1:
            raise UsageError(f"--{flag} {value}: must be 1 or above")
    run = Path(arguments.run)
    recipe = open_recipe(run)
    (_documents if arguments.step is None else _step)(arguments, run, recipe)
    return 0


def _step(arguments: argparse.Namespace, run: Path, recipe: Recipe) -> None:
    """The order is a pure function, so this needs no log of the training."""
    stage = training_stage(recipe, arguments.stage)
    tokenizer = load_tokenizer(run / "tokenizer")
    if not stage.learns_from_text:
        examples = example_order(recipe, stage, run, tokenizer.eos_id)
        stage = stage.lasting(examples.total_steps)
    if not 1 <= arguments.step <= stage.total_steps:
        raise UsageError(f"--step {arguments.step}: stage {stage.name!r} has steps 1 to {stage.total_steps}, as in metrics.jsonl")
    if arguments.first > stage.batch_seqs:
        raise UsageError(f"--first {arguments.first}: a step of stage {stage.name!r} has {stage.batch_seqs} sequences")
    decoders = (tokenizer.decode, tokenizer.decode_after) if arguments.text or arguments.whole else ()
    if stage.learns_from_text:
        step = inspect_step(data_order(recipe, stage, run), arguments.step - 1, stage.batch_seqs, *decoders)
    else:
        about = {name: Examples(folder).about() for name, folder in example_folders(recipe, stage, run, "train").items()}
        step = inspect_examples(examples, arguments.step - 1, about, *decoders[:1])
    first, count = arguments.first - 1, arguments.count or len(step["sequences"])
    page = {"stage": stage.name, **step, "step": arguments.step, "sequences": step["sequences"][first : first + count]}
    if arguments.json:
        print_json(page)
    else:
        names = [*(source.name for source in recipe.sources), *(source.name for source in recipe.conversations)]
        print_step(page, stage.total_steps, colours_of(names), whole=arguments.whole)


def _documents(arguments: argparse.Namespace, run: Path, recipe: Recipe) -> None:
    colours = colours_of(source.name for source in recipe.sources)
    if not arguments.documents:
        account = account_of(run)
        if arguments.json:
            print_json(account)
        else:
            print_account(account, run, colours)
        return
    split = "heldout" if arguments.heldout else "train"
    page = documents_of(run, arguments.documents, split, arguments.first, arguments.count or 10)
    if arguments.json:
        print_json(page)
    else:
        print_documents(page, run, colours, whole=arguments.whole)
