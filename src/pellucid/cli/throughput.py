"""`pellucid throughput TARGET…`: programs that run the same model, side by side."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.core.files import write_json
from pellucid.core.units import format_bytes, format_rate
from pellucid.report.throughput import remarks
from pellucid.stages.attempt import Work, attempt
from pellucid.stages.run_folder import RECIPE_FILE
from pellucid.stages.throughput import Load, measure, write_throughput

__all__ = ["command"]

_NONE = "–"
_COLUMNS = (
    "Program", "Weights", "Device", "Batch", "Prompt tok/s", "Decode tok/s", "least–most", "First token", "Memory", "Files",
    "Watts", "J/token",
)  # fmt: skip


def command(arguments: argparse.Namespace) -> int:
    """Measure, print one table, and keep the figures in the run; 1 when nobody could be measured."""
    paths = [Path(target) for target in arguments.targets]
    load = Load(
        prompt_tokens=arguments.prompt_tokens,
        new_tokens=arguments.new_tokens,
        batches=tuple(dict.fromkeys(arguments.batch)) or Load.batches,
        rounds=arguments.rounds,
        threads=arguments.threads,
        seed=arguments.seed,
        device=arguments.device,
    )
    run = paths[0] if len(paths) == 1 and (paths[0] / RECIPE_FILE).is_file() else None
    written, attempts = None, list[Work]()
    with ExitStack() as stack:

        def begin() -> None:
            if run is not None:
                attempts.append(stack.enter_context(attempt(run, "throughput")))

        found = measure(paths, load, served=arguments.served, only=arguments.only, begin=begin)
        if arguments.out is not None:
            written = Path(arguments.out)
            write_json(written, found)
        elif run is not None and not arguments.only:
            (work,) = attempts
            written = write_throughput(run, found, work.energy)
            work.made(written.parent, {"measured": sum(one["missing"] is None for one in found["contestants"])})
    if arguments.json:
        print_json(found)
    else:
        _print(found)
        if written is not None:
            print_text(f"written to {written}")
    return 0 if any(one["batches"] for one in found["contestants"]) else 1


def _print(found: Mapping[str, Any]) -> None:
    print_table(_COLUMNS, _rows(found), right=range(3, len(_COLUMNS)))
    settings = found["settings"]
    cores = "any core" if settings["cores"] is None else f"cores {', '.join(map(str, settings['cores']))}"
    print_text(
        f"\nMedians of {settings['rounds']} rounds, {settings['prompt_tokens']} prompt and {settings['new_tokens']} new tokens, "
        f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''} on {cores}. Memory: the most that a "
        "program's process held, and in brackets what it held before the model."
    )
    for text in remarks(found):
        print_text(text)


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in found["contestants"]:
        for batch, figures in one["batches"].items():
            memory = f"{format_bytes(one['memory']['peak_bytes'])} ({format_bytes(one['memory']['before_bytes'])})"
            decode = figures["decode_tokens_per_s"]
            yield (
                one["program"],
                one["weights"],
                one["device"],
                batch,
                _median(figures["prompt_tokens_per_s"], format_rate),
                _median(decode, format_rate),
                _NONE if decode is None else f"{format_rate(decode['min'])}–{format_rate(decode['max'])}",
                _median(figures["first_token_s"], lambda seconds: f"{1e3 * seconds:.3g} ms"),
                memory,
                _NONE if one["bytes"] is None else format_bytes(one["bytes"]),
                _median(figures["watts"], format_rate),
                _median(figures["joules_per_token"], lambda joules: f"{joules:.3g}"),
            )


def _median(figure: Mapping[str, float] | None, show: Callable[[float], str]) -> str:
    return _NONE if figure is None else show(figure["median"])
