"""Rules about the launch section: what no scheduler would take, told before a job waits in a queue for it."""

import math
import re
from collections.abc import Iterator

from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.problems import Finding, Loc

__all__ = ["check_launch"]

# Options of sbatch that would contradict a field, and the field.
_OPTIONS_WITH_A_FIELD = {
    "nodes": "launch.nodes",
    "gpus-per-node": "launch.devices_per_node",
    "time": "launch.time_limit_h",
    "signal": "launch.grace_s",
    "partition": "launch.slurm.partition",
    "account": "launch.slurm.account",
}
_ONE_TASK = ("ntasks", "ntasks-per-node")
_DNS_SUBDOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"


def check_launch(launch: LaunchConfig) -> Iterator[Iterator[Finding]]:
    """Yield the findings of each rule on its own, so that a value that is unknown silences its own rule only."""
    for rule in (_local, _time_limit, _environment, _setup, _partition, _account, _options, _image, _volume_claim):
        yield rule(launch)


def _local(launch: LaunchConfig) -> Iterator[Finding]:
    """A shell script starts processes on its own machine and is ended by nobody."""
    if launch.kind != "local":
        return
    if launch.nodes != 1:
        yield Finding(
            ("launch", "nodes"), f"got {launch.nodes}; kind local is one machine", "set nodes: 1, or kind: slurm or kubernetes"
        )
    if launch.time_limit_h is not None:
        yield Finding(
            ("launch", "time_limit_h"), f"got {launch.time_limit_h:g}; kind local has no time limit", "set time_limit_h: null"
        )


def _time_limit(launch: LaunchConfig) -> Iterator[Finding]:
    """Some of the time limit, a minute at least, is left for training."""
    if launch.time_limit_h is not None and launch.time_limit_h * 3600 < launch.grace_s + 60:
        yield Finding(
            ("launch", "time_limit_h"),
            f"got {launch.time_limit_h:g} hours = {launch.time_limit_h * 3600:g} seconds; must be at least a minute more than "
            f"grace_s = {launch.grace_s}, because training stops that long before",
            f"set time_limit_h to at least {math.ceil((launch.grace_s + 60) / 36) / 100:g}, or a smaller grace_s",
        )


def _environment(launch: LaunchConfig) -> Iterator[Finding]:
    """Names are those that a shell takes."""
    for name, value in launch.environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield Finding(
                ("launch", "environment", name), "a variable's name may hold only letters, digits and '_', no digit first"
            )
        yield from _no_nul(("launch", "environment", name), value)


def _setup(launch: LaunchConfig) -> Iterator[Finding]:
    for index, line in enumerate(launch.setup):
        yield from _no_nul(("launch", "setup", index), line)


def _no_nul(loc: Loc, value: str) -> Iterator[Finding]:
    if "\0" in value:
        yield Finding(loc, "holds the character NUL, which no shell can pass on", "leave it out")


def _partition(launch: LaunchConfig) -> Iterator[Finding]:
    yield from _slurm_name("partition", launch.slurm.partition)


def _account(launch: LaunchConfig) -> Iterator[Finding]:
    yield from _slurm_name("account", launch.slurm.account)


def _slurm_name(field: str, value: str | None) -> Iterator[Finding]:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_.,@:+-]+", value):
        yield Finding(("launch", "slurm", field), f"got {value!r}; may hold only letters, digits and _ . , @ : + -")


def _options(launch: LaunchConfig) -> Iterator[Finding]:
    """Every option is one line of sbatch's, and none says again what a field says."""
    for index, option in enumerate(launch.slurm.options):
        loc: Loc = ("launch", "slurm", "options", index)
        match = re.fullmatch(r"--([a-z][a-z-]*)(=[^\0\n\r]*)?", option)
        if not match:
            yield Finding(loc, f"got {option!r}; must be one option in its long form", "write --name or --name=value")
        elif match[1] in _OPTIONS_WITH_A_FIELD:
            yield Finding(loc, f"got {option!r}; there is a field for it", f"set {_OPTIONS_WITH_A_FIELD[match[1]]}")
        elif match[1] in _ONE_TASK:
            yield Finding(loc, f"got {option!r}; each node runs one task, which is torchrun", "set launch.devices_per_node")


def _image(launch: LaunchConfig) -> Iterator[Finding]:
    image = launch.kubernetes.image
    if launch.kind == "kubernetes" and image is None:
        yield Finding(
            ("launch", "kubernetes", "image"), "missing; kind kubernetes runs a container", "write image: REGISTRY/NAME:TAG"
        )
    if image is not None and not re.fullmatch(r"[^\s\0]+", image):
        yield Finding(("launch", "kubernetes", "image"), f"got {image!r}; must be the name of an image, without spaces")


def _volume_claim(launch: LaunchConfig) -> Iterator[Finding]:
    claim = launch.kubernetes.volume_claim
    loc = ("launch", "kubernetes", "volume_claim")
    if launch.kind == "kubernetes" and claim is None:
        yield Finding(
            loc, "missing; shards are read and checkpoints kept on a volume that all pods share", "write the claim's name"
        )
    if claim is not None and (len(claim) > 253 or not re.fullmatch(_DNS_SUBDOMAIN, claim)):
        yield Finding(loc, f"got {claim!r}; must be a name of Kubernetes: a-z, 0-9, '-' and '.', at most 253 characters")
