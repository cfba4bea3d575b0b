"""A shell script for one machine."""

from collections.abc import Sequence

from pellucid.launch.script import preamble, torchrun
from pellucid.recipe.launch import LaunchConfig

__all__ = ["local_script"]


def local_script(launch: LaunchConfig, arguments: Sequence[str]) -> str:
    """Return a bash script that runs `pellucid` with these arguments on every device of this machine."""
    return "\n".join(["#!/usr/bin/env bash", *preamble(launch), *torchrun(launch, ["--standalone"], arguments, "exec"), ""])
