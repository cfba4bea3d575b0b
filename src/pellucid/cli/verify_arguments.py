"""The flags of `pellucid verify`. Nothing heavy is imported."""

import argparse

__all__ = ["verify_arguments"]


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, a release or a study")
    parser.add_argument("--deep", action="store_true", help="go through every training step's data and every index as well")
    parser.add_argument("--exports", action="store_true", help="open every export again and compare it with the checkpoint")
    parser.add_argument(
        "--replay", type=int, metavar="N", help="train N steps again from a checkpoint drawn at random, and compare every bit"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draw the same checkpoint each time")
    parser.add_argument("--stage", metavar="NAME", help="replay this training stage")
    parser.add_argument("--step", type=int, metavar="N", help="replay from the checkpoint of this step; 0: from the first weights")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
