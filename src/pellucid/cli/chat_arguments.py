"""The flags of `pellucid chat`, and the help that teaches it. Nothing heavy is imported: every `--help` reads this."""

import argparse

from pellucid.cli.engine_arguments import engine_arguments

__all__ = ["chat_arguments"]

_EPILOG = """\
more examples:
  pellucid chat runs/pocket/pretrain                        the base model, before it learnt to answer
  pellucid chat runs/pocket/exports/gguf/model-Q4_0.gguf    an export, in llama.cpp
  pellucid chat runs/pocket --prompt 'Who are you?' --temperature 0
  pellucid chat runs/pocket --load talk.json                go on with a talk of yesterday, or one from the chat page

while you talk:
  /retry answers again, /edit changes your last message, /tokens shows how likely each token was, /save keeps the talk,
  /temperature 0.2 and the like change how answers are made, /help lists it all. Ctrl-C stops an answer, Ctrl-D leaves.
  From a pipe every line is a message, or a command as above where it begins with one slash (a message: with two), and an
  empty one ends. The exit status is then 1 if a line could not be done.
"""


def chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags, and examples after those that the parser has."""
    parser.epilog = f"{parser.epilog}\n\n{_EPILOG}"
    parser.add_argument("target", metavar="TARGET", help="run, training stage, checkpoint, Hugging Face folder or GGUF file")
    parser.add_argument("--prompt", metavar="TEXT", help="answer or continue this once and leave, instead of asking for input")
    parser.add_argument("--system", metavar="TEXT", help="system prompt, for models that learnt from conversations")
    parser.add_argument(
        "--load", metavar="FILE", help="go on with a conversation, with its settings, that /save or the chat page has written"
    )
    parser.add_argument("--new-tokens", type=int, default=128, metavar="N", help="longest answer or continuation (default: 128)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="X", help="0 takes the likeliest token (default: 0.8)")
    parser.add_argument("--top-k", type=int, default=50, metavar="N", help="choose among the N likeliest tokens (default: 50)")
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="X",
        help="choose among the likeliest tokens that reach this probability (default: 1)",
    )
    parser.add_argument(
        "--min-p", type=float, default=0.0, metavar="X", help="choose among tokens X times as likely as the likeliest (default: 0)"
    )
    parser.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1 makes tokens rarer that were there (default: 1)"
    )
    parser.add_argument(
        "--presence-penalty", type=float, default=0.0, metavar="X", help="taken from logits of tokens in the answer (default: 0)"
    )
    parser.add_argument(
        "--frequency-penalty",
        type=float,
        default=0.0,
        metavar="X",
        help="the same for each time that they stand there (default: 0)",
    )
    parser.add_argument(
        "--stop", metavar="TEXT", action="append", default=[], help="end answers before this text; may be given again"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed and prompts give the same texts (default: 1)")
    engine_arguments(parser)
