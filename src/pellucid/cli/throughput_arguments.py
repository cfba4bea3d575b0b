"""The flags of `pellucid throughput`. Nothing heavy is imported."""

import argparse

__all__ = ["throughput_arguments"]


def throughput_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="+",
        help="run (with all of its exports), export, Hugging Face folder or GGUF file; several must have the same vocabulary",
    )
    parser.add_argument("--prompt-tokens", type=int, default=256, metavar="N", help="tokens of each prompt (default: 256)")
    parser.add_argument("--new-tokens", type=int, default=64, metavar="N", help="tokens added to each prompt (default: 64)")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        action="append",
        default=[],
        help="sequences that go on at once; may be given again (default: 1 and 4)",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each program that count (default: 5)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads, and cores, of each program (default: one a core)")
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="where our torch engine and transformers compute (default: auto, the GPU that torch sees, else the CPU); the other "
        "programs choose themselves, and the table says what",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the choice of prompts (default: 1)")
    parser.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        default=[],
        help="measure those whose name holds this text, for example llama.cpp or Q4_0; may be given again",
    )
    parser.add_argument("--served", action="store_true", help="add llama.cpp behind its server, as `pellucid serve` runs it")
    parser.add_argument("--out", metavar="FILE", help="write the figures here (default: RUN/throughput/throughput.json for a run)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
