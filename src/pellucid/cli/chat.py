"""`pellucid chat RUN`: a model that learnt from conversations answers; a base model goes on with what you type."""

import argparse
import sys
from pathlib import Path

from pellucid.checkpoint.models import load_model
from pellucid.cli.conversation import COMMANDS, Conversation, print_stream
from pellucid.cli.output import print_text
from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.stages.chat_format import answers_at, chat_format_of
from pellucid.stages.run_folder import newest_checkpoint, open_recipe
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Answer or continue one prompt, or ask for prompts until the input ends."""
    if arguments.new_tokens < 1:
        raise UsageError(f"--new-tokens {arguments.new_tokens}: must be at least 1")
    run = Path(arguments.run)
    recipe = open_recipe(run)
    checkpoint = newest_checkpoint(run, recipe)
    tokenizer = load_tokenizer(run / "tokenizer")
    answers = answers_at(recipe, checkpoint)
    if arguments.system is not None and not answers:
        raise UsageError("--system: the run's model is a base model, which continues text; leave it out")
    model, meta = load_model(checkpoint)
    if answers:
        conversation = Conversation(model, tokenizer, chat_format_of(recipe, run), arguments)
        if arguments.prompt is not None:
            conversation.say(arguments.prompt)
            return 0
        print_text(f"{recipe.name}, step {meta['step']}. {COMMANDS}, and so does an empty line or Ctrl-D.")
        conversation.talk()
        return 0
    if arguments.prompt is not None:
        _continue(model, tokenizer, arguments.prompt, arguments)
        return 0
    print_text(f"{recipe.name}, step {meta['step']}. It is a base model: it continues your text. An empty line or Ctrl-D ends.")
    while True:
        print_text("\n> " if sys.stdin.isatty() else "", end="")
        line = sys.stdin.readline()
        if not line.strip():
            print_text("")
            return 0
        _continue(model, tokenizer, line.rstrip("\n"), arguments)


def _continue(model: Decoder, tokenizer: Tokenizer, prompt: str, arguments: argparse.Namespace) -> None:
    """Print the prompt and its continuation while it grows; a prompt longer than the context keeps its end."""
    ids = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    room = model.config.context_tokens - 1
    if len(ids) > room:
        ids = ids[-room:]
    stream = generate(
        model,
        ids,
        max_new_tokens=arguments.new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        seed=arguments.seed,
        stop_ids=[tokenizer.eos_id],
    )
    print_text(prompt, end="")
    print_stream(stream, tokenizer)
    remark = {"context": f" [the context of {model.config.context_tokens} tokens is full]", "stop_id": " [end of text]"}
    print_text(remark.get(stream.stop_reason or "", ""))
