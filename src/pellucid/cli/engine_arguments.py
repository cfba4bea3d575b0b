"""The flags of `pellucid serve`, and those of engines, which `pellucid chat` has as well. Nothing heavy is imported."""

import argparse

__all__ = ["engine_arguments", "serve_arguments"]


def serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `pellucid serve`."""
    parser.add_argument("target", metavar="RUN_OR_EXPORT", help="run, checkpoint, Hugging Face folder or GGUF file")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port; 0 takes any that is free (default: 8000)")
    parser.add_argument("--key-variable", metavar="NAME", help="environment variable that holds the key which clients must send")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="name by which clients may call the server, besides localhost and IP addresses; may be given again",
    )
    parser.add_argument("--name", metavar="NAME", help="the model's name in the interface (default: that of the file or run)")
    engine_arguments(parser)
    parser.add_argument("--slots", type=int, default=4, metavar="N", help="sequences that run at once (default: 4)")
    parser.add_argument(
        "--max-waiting", type=int, default=256, metavar="N", help="sequences that may wait for a slot (default: 256)"
    )
    parser.add_argument("--deadline-s", type=float, default=600, metavar="X", help="longest time for a request (default: 600)")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how the engine runs the model."""
    parser.add_argument("--context", type=int, metavar="N", help="longest sequence in tokens (default: the model's, up to 8192)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads that compute (default: one a core)")
    parser.add_argument(
        "--weights",
        choices=["float32", "int8"],
        default="float32",
        help="how torch holds the matrices on a CPU; int8 takes less memory and writes faster (default: float32)",
    )
    parser.add_argument(
        "--draft",
        metavar="RUN_OR_EXPORT",
        help="smaller model of the same vocabulary that guesses tokens while one answer runs alone; answers stay the same",
    )
