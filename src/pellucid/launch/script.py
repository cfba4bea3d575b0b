"""What every job has in common: strict shell, environment, set-up, and the words of torchrun, each quoted once and here."""

import shlex
from collections.abc import Sequence

from pellucid.recipe.launch import LaunchConfig

__all__ = ["WINDING_UP_S", "arguments_of", "preamble", "quoted", "torchrun"]

# Of the grace: what torchrun and the scheduler need once the processes that train have ended.
WINDING_UP_S = 10


def arguments_of(command: str, recipe: str, runs: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of `pellucid` that give a recipe with `--set` overrides and a runs folder to a command, not quoted."""
    return (command, recipe, "--runs", runs, *(word for override in overrides for word in ("--set", override)))


def quoted(words: Sequence[str]) -> str:
    """Return words as one line that a shell reads back as the same words."""
    return " ".join(shlex.quote(word) for word in words)


def preamble(launch: LaunchConfig) -> list[str]:
    """Return a job's first lines of bash, after its header: it ends at the first failure, and has its environment and set-up."""
    # Otherwise torchrun kills its processes after 30 seconds whatever they are still saving (and before torch 2.12 in any case).
    environment = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(launch.grace_s - WINDING_UP_S)}
    if launch.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    lines = ["set -euo pipefail", ""]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in {**environment, **launch.environment}.items()]
    if launch.setup:
        lines += ["", "# Environment modules and conda read variables that may be unset.", "set +u", *launch.setup, "set -u"]
    return [*lines, ""]


def torchrun(launch: LaunchConfig, rendezvous: Sequence[str], arguments: Sequence[str], prefix: str) -> list[str]:
    """Return the lines that start one node's processes: a prefix such as `exec`, torchrun, and `pellucid` with its arguments.

    `rendezvous` holds torchrun's options that say how the nodes meet, in the shell's own words, because they name variables;
    `arguments` are plain words.
    """
    parts = [
        f"{prefix} torchrun",
        *rendezvous,
        f"--nproc-per-node={launch.devices_per_node}",
        f"--max-restarts={launch.max_restarts}",
        f"-m pellucid {quoted(arguments)}",
    ]
    return " \\\n  ".join(parts).split("\n")
