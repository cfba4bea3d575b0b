"""The flags of `pellucid release`. Nothing heavy is imported."""

import argparse

__all__ = ["release_arguments"]


def release_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("dir", metavar="DIR", help="folder to write; an older release of the same run is replaced")
    parser.add_argument(
        "--without",
        metavar="PART",
        action="append",
        default=[],
        help="leave out documents, shards, conversations, exports, items (of benchmarks), samples or code; may be given again",
    )
    parser.add_argument(
        "--checkpoints",
        choices=("none", "final", "all"),
        default="final",
        help="weights to release beside the exports: each stage's last (default), none, or all with optimizer states",
    )
    parser.add_argument(
        "--public",
        metavar="NAME",
        action="append",
        default=[],
        help="the value of this environment variable (or HOME, …) may stand in the release; may be given again",
    )
    parser.add_argument("--force", action="store_true", help="replace a release of another run")
    parser.add_argument("--allow-faults", action="store_true", help="release a run that does not verify; the model card says so")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a value of the recipe's section release, for example --set release.author='Ada Lovelace'; may be given again",
    )
