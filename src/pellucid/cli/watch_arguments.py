"""What `pellucid watch` takes."""

import argparse

__all__ = ["watch_arguments"]


def watch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to its parser."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder, or the folder of one training stage; several are overlaid"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="print one picture and leave; the way also where output is no terminal")
    how.add_argument("--json", action="store_true", help="print the figures of now as JSON and leave")
    how.add_argument("--web", action="store_true", help="serve a page on this machine only, until Ctrl-C")
    how.add_argument(
        "--to",
        choices=("tensorboard", "wandb", "trackio"),
        help="hand everything to this tool, from the beginning until training ends; Weights & Biases offline, trackio locally",
    )
    parser.add_argument("--port", type=int, default=8100, metavar="N", help="with --web: port, 0 for any (default: 8100)")
    parser.add_argument("--dir", metavar="DIR", help="with --to: folder that is written into (default: RUN/../watch/TOOL)")
    parser.add_argument("--every-s", type=float, default=2.0, metavar="X", help="look at the files so often (default: every 2 s)")
